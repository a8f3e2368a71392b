/** Frame: masthead, navigation, banner of the connection; the page goes into the middle. */
import {
  Banner,
  Button,
  Dropdown,
  DropdownItem,
  DropdownList,
  Masthead,
  MastheadBrand,
  MastheadContent,
  MastheadLogo,
  MastheadMain,
  MastheadToggle,
  MenuToggle,
  Nav,
  NavGroup,
  NavItem,
  Page,
  PageSidebar,
  PageSidebarBody,
  PageToggleButton,
  SkipToContent,
  Toolbar,
  ToolbarContent,
  ToolbarItem,
} from "@patternfly/react-core"
import { BarsIcon, MoonIcon, SunIcon } from "@patternfly/react-icons"
import { type ReactNode, useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react"
import { useTranslation } from "react-i18next"
import { Link, useLocation } from "wouter"
import { live } from "./api/live"
import { OperationsButton, OperationsDrawer } from "./frame-operations"
import { moment, serverNowS } from "./look/format"
import { useTheme, wear } from "./look/theme"
import { SECTIONS } from "./nav"
import { type Session, signOut } from "./session/session"
import { LANGUAGES, type Language, speak } from "./text"
import "./frame.css"

export function Frame({ session, children }: { session: Session; children: ReactNode }) {
  const { t } = useTranslation()
  const [running, setRunning] = useState(false)
  const close = useCallback(() => setRunning(false), [])
  return (
    <Page
      masthead={
        <Head
          session={session}
          operations={<OperationsButton open={running} onClick={() => setRunning(!running)} />}
        />
      }
      notificationDrawer={running ? <OperationsDrawer onClose={close} /> : undefined}
      isNotificationDrawerExpanded={running}
      sidebar={<Side />}
      isManagedSidebar
      isContentFilled
      mainContainerId="content"
      skipToContent={<SkipToContent href="#content">{t("nav.skip")}</SkipToContent>}
    >
      <LinkBanner />
      <div className="frame-content">{children}</div>
    </Page>
  )
}

function Head({ session, operations }: { session: Session; operations: ReactNode }) {
  const { t, i18n } = useTranslation()
  const theme = useTheme()
  return (
    <Masthead>
      <MastheadMain>
        <MastheadToggle>
          <PageToggleButton variant="plain" aria-label={t("nav.toggle")}>
            <BarsIcon />
          </PageToggleButton>
        </MastheadToggle>
        <MastheadBrand>
          <MastheadLogo component={props => <Link {...props} href="/" />}>
            <img src="/corral.svg" alt="" width={28} height={28} />
            <span className="frame-brand">{t("product")}</span>
          </MastheadLogo>
        </MastheadBrand>
      </MastheadMain>
      <MastheadContent>
        <Toolbar isStatic className="frame-tools">
          <ToolbarContent>
            <ToolbarItem align={{ default: "alignEnd" }}>{operations}</ToolbarItem>
            <ToolbarItem>
              <Button
                variant="plain"
                aria-label={theme === "dark" ? t("masthead.theme_light") : t("masthead.theme_dark")}
                icon={theme === "dark" ? <SunIcon /> : <MoonIcon />}
                onClick={() => wear(theme === "dark" ? "light" : "dark")}
              />
            </ToolbarItem>
            <ToolbarItem>
              <Choice label={t("masthead.language")} text={LANGUAGES[i18n.language as Language]}>
                {Object.entries(LANGUAGES).map(([key, text]) => (
                  <DropdownItem key={key} lang={key} onClick={() => speak(key as Language)}>
                    {text}
                  </DropdownItem>
                ))}
              </Choice>
            </ToolbarItem>
            <ToolbarItem>
              <Choice label={t("masthead.account")} text={session.name}>
                <DropdownItem key="docs" to="/api/docs">
                  {t("masthead.docs")}
                </DropdownItem>
                <DropdownItem key="out" onClick={() => void signOut()}>
                  {t("masthead.sign_out")}
                </DropdownItem>
              </Choice>
            </ToolbarItem>
          </ToolbarContent>
        </Toolbar>
      </MastheadContent>
    </Masthead>
  )
}

function Choice({ label, text, children }: { label: string; text: string; children: ReactNode }) {
  const [open, setOpen] = useState(false)
  return (
    <Dropdown
      isOpen={open}
      onOpenChange={setOpen}
      onSelect={() => setOpen(false)}
      toggle={ref => (
        <MenuToggle
          ref={ref}
          variant="plainText"
          aria-label={`${label}: ${text}`}
          isExpanded={open}
          onClick={() => setOpen(!open)}
        >
          {text}
        </MenuToggle>
      )}
    >
      <DropdownList>{children}</DropdownList>
    </Dropdown>
  )
}

function Side() {
  const { t } = useTranslation()
  const [location] = useLocation()
  return (
    <PageSidebar>
      <PageSidebarBody>
        <Nav aria-label={t("nav.label")}>
          {SECTIONS.map(section => (
            <NavGroup key={section.text} title={t(`nav.${section.text}`)}>
              {section.places.map(({ path, text }) => (
                <NavItem key={path} isActive={location === path || location.startsWith(`${path}/`)}>
                  <Link href={path}>{t(`nav.${text}`)}</Link>
                </NavItem>
              ))}
            </NavGroup>
          ))}
        </Nav>
      </PageSidebarBody>
    </PageSidebar>
  )
}

/** Says that what is shown may be old, and when it is true again. */
function LinkBanner() {
  const { t } = useTranslation()
  const { link, brokenSince } = useSyncExternalStore(live.subscribe, live.snapshot)
  const wasBroken = useRef(false)
  const [back, setBack] = useState(false)

  useEffect(() => {
    if (link === "broken") wasBroken.current = true
    if (link !== "open" || !wasBroken.current) return
    wasBroken.current = false
    setBack(true)
    const timer = setTimeout(() => setBack(false), 4_000)
    return () => clearTimeout(timer)
  }, [link])

  if (brokenSince !== null) {
    const since = moment(serverNowS() - (Date.now() - brokenSince) / 1000)
    return (
      <Banner status="danger" role="alert">
        {t("link.broken", { since })}
      </Banner>
    )
  }
  return back ? (
    <Banner status="success" role="status">
      {t("link.back")}
    </Banner>
  ) : null
}
