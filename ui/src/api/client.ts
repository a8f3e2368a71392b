/**
 * Client: calls of the API, and what goes wrong as problems.
 *
 * In this room   getJson(), send(); Problem, an error that a person can act on; Schemas, the types of what goes over the wire
 * Always true    the session is a cookie that scripts can't read: nothing here knows a token. Types are generated from
 *                the server's OpenAPI document, and paths.test.ts holds every path in the code to it
 * Next door      schema.d.ts is generated; cache.ts asks through here, asks.tsx changes
 * Start here     getJson()
 */
import { setServerTime } from "../look/format"
import type { components } from "./schema"

export type Schemas = components["schemas"]
export type ProblemDetails = Schemas["Problem"]

/** What the server said against it (RFC 9457), or that it can't be reached. */
export class Problem extends Error {
  constructor(readonly details: ProblemDetails) {
    super(details.detail)
  }
  get code() {
    return this.details.code
  }
  get hint() {
    return this.details.hint ?? ""
  }
}

/** What is at a path. throws Problem */
export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, { credentials: "same-origin", signal: signal ?? null }).catch(error => {
    throw signal?.aborted ? error : unreachable()
  })
  noteTime(response)
  if (response.ok) return (await response.json()) as T
  throw problemOf(await response.json().catch(() => undefined), response.status)
}

/** The browser's clock may be off: ages are told by the server's. */
function noteTime(response: Response): void {
  const date = Date.parse(response.headers.get("date") ?? "")
  if (!Number.isNaN(date)) setServerTime(date / 1000)
}

/** A change that is asked for. throws Problem */
export async function send<T>(
  method: "POST" | "PATCH" | "PUT" | "DELETE",
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<T> {
  const init: RequestInit = { method, credentials: "same-origin", headers: { ...headers } }
  if (body !== undefined) {
    init.body = JSON.stringify(body)
    init.headers = { "content-type": "application/json", ...headers }
  }
  const response = await fetch(path, init).catch(() => {
    throw unreachable()
  })
  if (response.status === 204) return undefined as T
  const answer = await response.json().catch(() => undefined)
  if (response.ok) return answer as T
  throw problemOf(answer, response.status)
}

export function problemOf(body: unknown, status: number): Problem {
  if (body && typeof body === "object" && "code" in body) return new Problem(body as ProblemDetails)
  return new Problem({
    type: "about:blank",
    title: "The server answered something else",
    status,
    detail: `The server answered ${status} without saying why.`,
    code: "client.unreadable",
    hint: "",
    context: {},
    retryable: status >= 500,
    request_id: "",
  })
}

function unreachable(): Problem {
  return new Problem({
    type: "about:blank",
    title: "The server can't be reached",
    status: 0,
    detail: "The server can't be reached.",
    code: "client.unreachable",
    hint: "",
    context: {},
    retryable: true,
    request_id: "",
  })
}
