// The API's documentation: reads /api/v1/openapi.json and shows it. No library, no network beyond this server.
"use strict";

const byId = (id) => document.getElementById(id);
const VERBS = ["get", "post", "put", "patch", "delete"];

/** An element: make("p", {class: "note"}, "text", child). Texts are never read as HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c != null && c !== ""));
  return element;
}

/** Text with `code` and **bold** in it, as nodes. */
function marked(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)/).map((part) => {
    if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return make("strong", {}, part.slice(2, -2));
    if (part.startsWith("*") && part.length > 2) return make("em", {}, part.slice(1, -1));
    return part;
  });
}

/** Paragraphs and bullet lists. */
function prose(text) {
  return text.trim().split(/\n\s*\n/).map((block) => {
    if (!block.startsWith("- ")) return make("p", { class: "text" }, marked(block.replace(/\s*\n\s*/g, " ")));
    const items = block.split(/\n(?=- )/).map((item) => item.slice(2).replace(/\s*\n\s*/g, " "));
    return make("ul", { class: "text" }, items.map((item) => make("li", {}, marked(item))));
  });
}

const pretty = (value) => JSON.stringify(value, null, 2);
const block = (value) => make("pre", {}, make("code", {}, typeof value === "string" ? value : pretty(value)));

// ---- schemas

const state = { api: null, operations: [] };
const refName = (schema) => (schema && schema.$ref ? schema.$ref.split("/").pop() : "");
const resolve = (schema) => (schema && schema.$ref ? state.api.components.schemas[refName(schema)] : schema) || {};

function typeName(schema) {
  if (!schema) return "any";
  if (schema.$ref) {
    const target = resolve(schema);
    return target.enum ? "one of " + target.enum.join(", ") : refName(schema);
  }
  if (schema.anyOf || schema.oneOf) return (schema.anyOf || schema.oneOf).map(typeName).join(" or ");
  if (schema.enum) return "one of " + schema.enum.join(", ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.type === "array") return "list of " + typeName(schema.items);
  if (schema.type === "object" && schema.additionalProperties) return "object of " + typeName(schema.additionalProperties);
  return schema.type || "any";
}

/** The struct within, behind references, lists and alternatives; null where there is none. */
function structOf(schema) {
  if (!schema) return null;
  const target = resolve(schema);
  if (target.properties) return target;
  if (target.type === "array") return structOf(target.items);
  if (target.additionalProperties && typeof target.additionalProperties === "object") return structOf(target.additionalProperties);
  for (const option of target.anyOf || target.oneOf || []) {
    const found = structOf(option);
    if (found) return found;
  }
  return null;
}

function tree(schema, depth = 0) {
  const struct = structOf(schema);
  if (!struct) return make("p", { class: "note" }, typeName(schema));
  const required = new Set(struct.required || []);
  return make("ul", { class: "tree" }, Object.entries(struct.properties).map(([name, inner]) => {
    const line = make("li", {},
      make("span", { class: "name" }, name),
      required.has(name) ? make("span", { class: "must" }, "required") : "",
      " ", make("span", { class: "type" }, typeName(inner)),
      "default" in inner && inner.default !== "" && pretty(inner.default).length < 40
        ? make("span", { class: "type" }, ` = ${JSON.stringify(inner.default)}`) : "");
    if (structOf(inner) && depth < 6) {
      const details = make("details", {}, make("summary", {}, "fields"));
      details.addEventListener("toggle", () => {
        if (details.open && details.children.length === 1) details.append(tree(inner, depth + 1));
      });
      line.append(details);
    }
    return line;
  }));
}

// ---- one operation

function parametersTable(parameters) {
  if (!parameters.length) return "";
  const rows = parameters.map((p) => make("tr", {},
    make("td", {}, p.name, p.required ? make("span", { class: "must" }, "required") : ""),
    make("td", {}, make("span", { class: "type" }, p.in === "query" ? typeName(p.schema) : p.in)),
    make("td", {}, marked(p.description || ""),
      "example" in p ? make("span", { class: "type" }, "  e.g. " + [].concat(p.example).join(", ")) : "")));
  return [make("h3", {}, "Parameters"), make("table", {}, rows)];
}

function bodySection(body) {
  if (!body) return "";
  const json = body.content["application/json"];
  if (!json) return [make("h3", {}, "Body"), make("p", { class: "note" }, "A stream of bytes, of any length.")];
  const examples = Object.values(json.examples || {});
  return [
    make("h3", {}, "Body"), tree(json.schema),
    examples.map((example) => [make("p", { class: "note" }, example.summary), block(example.value)]),
  ];
}

function answersSection(responses) {
  const rows = Object.entries(responses).map(([status, answer]) => {
    const cell = make("td", {}, marked(answer.description || ""));
    for (const [media, content] of Object.entries(answer.content || {})) {
      const name = typeName(content.schema);
      const details = make("details", {}, make("summary", {}, `${media}${name !== "any" ? " — " + name : ""}`));
      details.addEventListener("toggle", () => {
        if (!details.open || details.children.length > 1) return;
        for (const example of Object.values(content.examples || {})) details.append(block(example.value));
        details.append(tree(content.schema));
      });
      cell.append(details);
    }
    return make("tr", {}, make("td", {}, make("span", { class: "status " + (status < 400 ? "ok" : "bad") }, status)), cell);
  });
  return [make("h3", {}, "Answers"), make("table", {}, rows)];
}

function article({ path, verb, operation }) {
  const open = operation.security && !operation.security.length;
  return make("article", { id: operation.operationId },
    make("h2", {}, operation.summary.replace(/\.$/, "")),
    make("div", { class: "line" }, make("span", { class: "verb " + verb }, verb), path,
      make("span", { class: "lock" }, open ? "no token needed" : "token")),
    prose(operation.description || ""),
    parametersTable(operation.parameters || []),
    bodySection(operation.requestBody),
    answersSection(operation.responses),
    operation.responses["101"] ? "" : tryIt(path, verb, operation));
}

// ---- trying it

function tryIt(path, verb, operation) {
  const details = make("details", { class: "try" }, make("summary", {}, "Try it"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(tryForm(path, verb, operation));
  });
  return details;
}

function tryForm(path, verb, operation) {
  const fields = (operation.parameters || []).map((p) => {
    const id = `${operation.operationId}-${p.name}`;
    return { p, label: make("label", { for: id }, p.name), input: make("input", { id, placeholder: p.required ? "required" : "" }) };
  });
  const json = operation.requestBody && operation.requestBody.content["application/json"];
  const file = operation.requestBody && !json ? make("input", { type: "file" }) : null;
  const first = json ? Object.values(json.examples || {})[0] : null;
  const body = json ? make("textarea", { spellcheck: "false", "aria-label": "body" }) : null;
  if (body) body.value = first ? pretty(first.value) : "{}";
  const output = make("div");
  const request = () => {
    let url = path;
    const query = new URLSearchParams(), headers = {};
    for (const { p, input } of fields) {
      if (p.in === "path") url = url.replace(new RegExp(`\\{${p.name}(:[^}]*)?\\}`), encodeURIComponent(input.value));
      else if (input.value && p.in === "query") query.append(p.name, input.value);
      else if (input.value) headers[p.name] = input.value;
    }
    if (byId("token").value) headers.Authorization = "Bearer " + byId("token").value.trim();
    if (body) headers["Content-Type"] = "application/json";
    const text = query.toString();
    return { url: url + (text ? "?" + text : ""), options: { method: verb.toUpperCase(), headers, body: body ? body.value : file ? file.files[0] : undefined } };
  };
  const send = async (event) => {
    event.preventDefault();
    if (stopping) stopping.abort();
    await show(request(), output);
  };
  return make("form", { onsubmit: send },
    make("div", { class: "grid" }, fields.map((f) => [f.label, f.input])),
    body ? [make("h3", {}, "Body"), body] : "", file ? [make("h3", {}, "File"), file] : "",
    make("div", { class: "row" }, make("button", { type: "submit" }, "Send"),
      make("button", { type: "button", class: "plain", onclick: () => output.replaceChildren(block(asCurl(request()))) }, "As curl")),
    output);
}

function asCurl({ url, options }) {
  const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
  const headers = Object.entries(options.headers).map(([k, v]) => `-H ${quote(`${k}: ${k === "Authorization" ? "Bearer $CORRAL_TOKEN" : v}`)}`)
    .map((text) => text.includes("$CORRAL_TOKEN") ? text.replaceAll("'", '"') : text);
  const parts = [`curl -X ${options.method} ${quote(location.origin + url)}`, ...headers];
  if (typeof options.body === "string") parts.push(`-d ${quote(options.body)}`);
  else if (options.body) parts.push(`-T ${quote(options.body.name)}`);
  return parts.join(" \\\n  ");
}

let stopping = null; // ends the stream that is being shown

async function show({ url, options }, output) {
  const started = performance.now();
  stopping = new AbortController();
  const status = make("span", { class: "status" }, "…"), shown = make("pre", {}, "");
  const stop = make("button", { type: "button", class: "plain", onclick: () => stopping.abort() }, "Stop");
  output.replaceChildren(make("div", { class: "row" }, make("span", { class: "type" }, `${options.method} ${url}`), status, stop), shown);
  try {
    const answer = await fetch(url, { ...options, signal: stopping.signal });
    status.className = "status " + (answer.ok ? "ok" : "bad");
    status.textContent = `${answer.status}  ${(performance.now() - started).toFixed(0)} ms`;
    if ((answer.headers.get("content-type") || "").includes("event-stream")) return await pour(answer, shown);
    const text = await answer.text();
    try { shown.textContent = pretty(JSON.parse(text)); } catch { shown.textContent = text; }
  } catch (error) {
    if (error.name !== "AbortError") { status.className = "status bad"; status.textContent = String(error); }
  } finally { stop.remove(); }
}

async function pour(answer, shown) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    shown.textContent = (shown.textContent + value).slice(-40000);
    shown.scrollTop = shown.scrollHeight;
  }
}

// ---- the page

function menu(operations) {
  const tags = new Map();
  for (const item of operations) {
    const tag = item.operation.tags[0];
    tags.set(tag, [...(tags.get(tag) || []), item]);
  }
  return [...tags].flatMap(([tag, items]) => [make("h2", {}, tag), ...items.map(({ path, verb, operation }) =>
    make("a", { href: "#" + operation.operationId, title: operation.summary },
      make("span", { class: "verb " + verb }, verb), make("span", { class: "path" }, path.replace("/api/v1", ""))))]);
}

function draw() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = ({ path, verb, operation }) => {
    const text = `${verb} ${path} ${operation.summary} ${operation.description} ${operation.tags}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const found = state.operations.filter(fits);
  byId("menu").replaceChildren(...menu(found));
  const intro = words.length ? [] : [make("h1", {}, `${state.api.info.title} API`), make("p", { class: "type" }, `version ${state.api.info.version}`), ...prose(state.api.info.description)];
  byId("page").replaceChildren(...intro, ...(found.length ? found.map(article) : [make("p", { class: "note" }, "Nothing fits.")]));
  mark();
}

function mark() {
  for (const link of byId("menu").querySelectorAll("a")) link.classList.toggle("here", link.hash === location.hash);
}

async function start() {
  const token = byId("token");
  token.value = sessionStorage.getItem("corral-token") || "";
  token.addEventListener("input", () => sessionStorage.setItem("corral-token", token.value));
  byId("search").addEventListener("input", draw);
  addEventListener("hashchange", mark);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) { event.preventDefault(); byId("search").focus(); }
  });
  state.api = await (await fetch("/api/v1/openapi.json")).json();
  for (const [path, verbs] of Object.entries(state.api.paths))
    for (const verb of VERBS) if (verbs[verb]) state.operations.push({ path, verb, operation: verbs[verb] });
  const order = new Map(state.api.tags.map((tag, place) => [tag.name, place]));
  state.operations.sort((a, b) => order.get(a.operation.tags[0]) - order.get(b.operation.tags[0]));
  draw();
  if (location.hash) byId(location.hash.slice(1))?.scrollIntoView();
}

start().catch((error) => byId("page").replaceChildren(make("p", { class: "note" }, `The description could not be read: ${error}`)));
