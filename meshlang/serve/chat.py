"""A model's chat template: how messages become the text that the model was trained on. Jinja, as transformers keeps it, in a sandbox."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from meshlang.models.families import model_error

from .config import ServedModel
from .extras import needs


class Template:
    """The file that the configuration names, chat_template.jinja of the folder, or `chat_template` of its tokenizer_config.json."""

    def __init__(self, text: str, special: dict[str, str], where: Path):
        jinja2 = needs("jinja2", "serve", "a chat template")
        sandbox = needs("jinja2.sandbox", "serve", "a chat template")
        self._errors = jinja2.exceptions.TemplateError
        environment = sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = lambda value, **more: json.dumps(value, ensure_ascii=False, **more)

        def refuse(message: str) -> None:
            raise jinja2.exceptions.TemplateError(message)

        environment.globals["raise_exception"] = refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            self._template: Any = environment.from_string(text)
        except self._errors as error:
            raise model_error("MS1663", f"the chat template of {where} cannot be read: {error}") from None
        self._special = special

    @classmethod
    def of(cls, model: ServedModel) -> Template | None:
        """None: the model has none. MS1663."""
        folder = model.folder or Path()
        config = folder / "tokenizer_config.json"
        content: dict[str, Any] = {}
        if model.folder and config.is_file():
            try:
                content = json.loads(config.read_text(encoding="utf-8"))
                if not isinstance(content, dict):
                    raise ValueError("no object")
            except ValueError as error:
                raise model_error("MS1663", f"{config} cannot be read: {error}") from None
        file = model.template or folder / "chat_template.jinja"
        there = (model.folder or model.template) and file.is_file()
        text = file.read_text(encoding="utf-8") if there else content.get("chat_template")
        if isinstance(text, list):  # several, by name
            text = next((t.get("template") for t in text if t.get("name") == "default"), None)
        if not isinstance(text, str):
            return None
        special = {}
        for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
            token = content.get(name)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str):
                special[name] = token
        return cls(text, special, file if there else config)

    def render(self, messages: list[dict[str, Any]]) -> str:
        """ValueError, if the template refuses them."""
        try:
            return str(self._template.render(messages=messages, add_generation_prompt=True, **self._special))
        except (self._errors, TypeError, ArithmeticError, LookupError) as error:
            raise ValueError(str(error)) from None
