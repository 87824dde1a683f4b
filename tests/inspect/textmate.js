// node textmate.js NODE_MODULES GRAMMAR < files: what the TextMate engine of VS Code makes of CSL files.
// In: a JSON list of texts. Out: for each a list of lines, for each line [[start, end, innermost scope], ...].

const fs = require("fs");
const path = require("path");
const [modules, grammar] = process.argv.slice(2);
const textmate = require(path.join(modules, "vscode-textmate"));
const oniguruma = require(path.join(modules, "vscode-oniguruma"));

(async () => {
  await oniguruma.loadWASM(fs.readFileSync(path.join(modules, "vscode-oniguruma", "release", "onig.wasm")).buffer);
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => textmate.parseRawGrammar(fs.readFileSync(grammar, "utf8"), grammar),
  });
  const csl = await registry.loadGrammar("source.csl");
  const out = JSON.parse(fs.readFileSync(0, "utf8")).map((text) => {
    let state = textmate.INITIAL;
    return text.split("\n").map((line) => {
      const found = csl.tokenizeLine(line, state);
      state = found.ruleStack;
      return found.tokens.map((t) => [t.startIndex, t.endIndex, t.scopes[t.scopes.length - 1]]);
    });
  });
  process.stdout.write(JSON.stringify(out));
})();
