/**
 * Session: who is signed in.
 *
 * Always true    the token goes to the server once and is not kept: the session is a cookie that scripts can't read
 */
import { useQuery } from "@tanstack/react-query"
import { queries } from "../api/cache"
import { getJson, Problem, send } from "../api/client"
import { live } from "../api/live"

export type Session = { name: string; role: "viewer" | "operator" | "admin"; session_ends_at?: number }

const PATH = "/api/v1/session"
const KEY = ["session"]

/** null: nobody is. */
export function useSession() {
  return useQuery({
    queryKey: KEY,
    queryFn: async (): Promise<Session | null> => {
      try {
        return await getJson<Session>(PATH)
      } catch (error) {
        if (error instanceof Problem && error.details.status === 401) return null
        throw error
      }
    },
  })
}

export async function signIn(token: string): Promise<void> {
  const session = await send<Session>("POST", PATH, { token: token.trim() })
  queries.setQueryData(KEY, session)
  live.restart()
  await queries.invalidateQueries({ predicate: query => query.queryKey[0] !== KEY[0] })
}

export async function signOut(): Promise<void> {
  await send("DELETE", PATH)
  queries.clear()
  window.location.assign("/")
}

/** A link may carry a token behind its #: `corral server --demo` prints one. It leaves the address at once. */
export function tokenFromAddress(): string {
  const found = /^#token=(corral_[\w-]+)$/.exec(window.location.hash)
  if (found) window.history.replaceState(null, "", window.location.pathname + window.location.search)
  return found?.[1] ?? ""
}

const RANK = { viewer: 0, operator: 1, admin: 2 }

/** Whether the one who is signed in has at least this role. */
export function useMay(role: Session["role"]): boolean {
  const session = useSession().data
  return !!session && RANK[session.role] >= RANK[role]
}
