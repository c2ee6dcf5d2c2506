"""Judges OpenAPI documents, and answers by them.

    document.py valid DOCUMENT...           each is valid OpenAPI 3.1, and its examples fit their own schemas
    document.py answers DOCUMENT ANSWERS    each line of ANSWERS, {"operation", "status", "media_type", "body"}, is what
                                            the document says that the operation answers with, and its "request", where
                                            it has one, what the document says that the operation is asked with
"""

import json
import sys
from pathlib import Path

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012


def resolved(document, node):
    """The node, or what it refers to."""
    while "$ref" in node:
        target = document
        for key in node["$ref"].removeprefix("#/").split("/"):
            target = target[key.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def closed(node):
    """The same schemas, but no object may have a member that is not described."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: value if key in ("example", "examples", "enum") else closed(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        node.setdefault("additionalProperties", False)
    return node


class Judge:
    def __init__(self, document):
        self.document = closed(document)
        self.registry = Registry().with_resource("urn:document", Resource(self.document, DRAFT202012))

    def faults(self, pointer, value):
        """What is wrong with a value by the schema at a pointer of the document."""
        validator = Draft202012Validator(
            {"$ref": f"urn:document#{pointer}"},
            registry=self.registry,
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def pointer(*keys):
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def schemas(node, path=()):
    """Every schema of the document that has examples or a default, with its place."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from schemas(item, (*path, index))
    elif isinstance(node, dict):
        # A member of an object may itself be called so.
        if path[-1:] != ("properties",) and isinstance(node.get("examples"), list):
            yield path, node["examples"]
        if path[-1:] != ("properties",) and "default" in node and "responses" not in path[-1:]:
            yield path, [node["default"]]
        for key, value in node.items():
            if key not in ("examples", "enum"):
                yield from schemas(value, (*path, key))


def valid(paths):
    for path in paths:
        document = json.loads(Path(path).read_text())
        yield from (f"{path}: {error.json_path}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors())
        if document["openapi"] != "3.1.0":
            yield f"{path}: {document['openapi']}"
        judge = Judge(document)
        seen = 0
        for place, examples in schemas(document):
            for example in examples:
                seen += 1
                yield from (f"{path}: {place}: {fault}" for fault in judge.faults(pointer(*place), example))
        if seen < 100:
            yield f"{path}: only {seen} examples"


def answers(document_path, answers_path):
    document = json.loads(Path(document_path).read_text())
    judge = Judge(document)
    operations = {
        operation["operationId"]: (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    checked = 0
    for line in Path(answers_path).read_text().splitlines():
        answer = json.loads(line)
        path, method, operation = operations[answer["operation"]]
        status = str(answer["status"])
        status = status if status in operation["responses"] else "default"
        response = operation["responses"][status]
        base = response["$ref"].removeprefix("#") if "$ref" in response else pointer("paths", path, method, "responses", status)
        said = resolved(document, response)
        if answer["media_type"] not in said["content"]:
            yield f"{answer['target']}: {answer['media_type']} is not in the document"
            continue
        place = base + pointer("content", answer["media_type"], "schema")
        yield from (f"{answer['target']}: {fault}" for fault in judge.faults(place, answer["body"]))
        if "request" in answer:
            place = pointer("paths", path, method, "requestBody", "content", "application/json", "schema")
            yield from (f"{answer['target']}: asked with {fault}" for fault in judge.faults(place, answer["request"]))
        checked += 1
    print(checked)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    faults = list(valid(arguments) if command == "valid" else answers(*arguments))
    for fault in faults[:50]:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)
