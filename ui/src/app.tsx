/**
 * App: who is signed in sees the frame (masthead, navigation, what the connection is like) and the page in it.
 *
 * Next door      nav.ts lists the pages; session/ signs in; api/live.ts is the connection
 */
import { Bullseye, Spinner } from "@patternfly/react-core"
import { Suspense, useSyncExternalStore } from "react"
import { useTranslation } from "react-i18next"
import { Redirect, Route, Switch, useLocation } from "wouter"
import { AsksProvider } from "./api/asks"
import { live } from "./api/live"
import { Frame } from "./frame"
import { SECTIONS } from "./nav"
import { Fence, Trouble } from "./parts/trouble"
import { useSession } from "./session/session"
import { SignIn } from "./session/signin"

const PLACES = SECTIONS.flatMap(section => section.places)

export function App() {
  const session = useSession()
  const { signedOut } = useSyncExternalStore(live.subscribe, live.snapshot)
  if (session.isPending) return <Loading />
  if (session.error) return <Trouble of={session.error} onRetry={() => void session.refetch()} />
  if (!session.data) return <SignIn />
  return (
    <AsksProvider>
      <Frame session={session.data}>
        <Pages />
      </Frame>
      {signedOut && (
        <div className="over-all">
          <SignIn again />
        </div>
      )}
    </AsksProvider>
  )
}

function Pages() {
  const { t } = useTranslation()
  const [location] = useLocation()
  return (
    <Fence of={location}>
      <Suspense fallback={<Loading />}>
        <Switch>
          <Route path="/">
            <Redirect to={PLACES[0]?.path ?? "/"} replace />
          </Route>
          {PLACES.map(({ path, page: Page, nested }) => (
            <Route key={path} path={path} nest={nested ?? false}>
              <Page />
            </Route>
          ))}
          <Route>
            <p className="page">{t("state.not_found")}</p>
          </Route>
        </Switch>
      </Suspense>
    </Fence>
  )
}

function Loading() {
  const { t } = useTranslation()
  return (
    <Bullseye>
      <Spinner aria-label={t("state.loading")} />
    </Bullseye>
  )
}
