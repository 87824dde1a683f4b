// Starts `meshlang lsp`, and runs the program of the file that is open.

const path = require("path");
const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

function settings() {
  const given = vscode.workspace.getConfiguration("meshlang");
  return {
    arch: given.get("arch"),
    params: given.get("params"),
    import_paths: given.get("importPaths"),
  };
}

async function start() {
  const command = vscode.workspace.getConfiguration("meshlang").get("command");
  client = new LanguageClient(
    "meshlang",
    "MeshLang",
    { command, args: ["lsp"] },
    { documentSelector: [{ language: "csl" }], initializationOptions: settings() },
  );
  try {
    await client.start();
  } catch (error) {
    vscode.window.showErrorMessage(
      `MeshLang: '${command} lsp' does not start (${error?.message ?? error ?? "see the output of MeshLang"}). pip install 'meshlang[editor]', or set meshlang.command.`,
    );
  }
}

function run() {
  const editor = vscode.window.activeTextEditor;
  if (!editor) {
    return;
  }
  const command = vscode.workspace.getConfiguration("meshlang").get("command");
  const { arch, params } = settings();
  const given = Object.entries(params).map(([name, value]) => `-p ${name}=${value}`);
  const folder = path.dirname(editor.document.fileName);
  const terminal = vscode.window.terminals.find((t) => t.name === "MeshLang") || vscode.window.createTerminal("MeshLang");
  terminal.show(true);
  terminal.sendText([command, "run", JSON.stringify(folder), "--arch", arch, ...given].join(" "));
}

exports.activate = async (context) => {
  context.subscriptions.push(
    vscode.commands.registerCommand("meshlang.run", run),
    vscode.workspace.onDidChangeConfiguration(async (event) => {
      if (event.affectsConfiguration("meshlang") && client) {
        await client.stop();
        await start();
      }
    }),
  );
  await start();
};

exports.deactivate = () => (client ? client.stop() : undefined);
