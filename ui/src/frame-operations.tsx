/** Operations in flight: a button in the masthead that counts them, and the drawer that it opens. */
import {
  NotificationBadge,
  NotificationDrawer,
  NotificationDrawerBody,
  NotificationDrawerHeader,
  NotificationDrawerList,
  NotificationDrawerListItem,
  NotificationDrawerListItemBody,
  NotificationDrawerListItemHeader,
  Progress,
} from "@patternfly/react-core"
import { InProgressIcon } from "@patternfly/react-icons"
import { useEffect, useRef } from "react"
import { useTranslation } from "react-i18next"
import { Link, useLocation } from "wouter"
import { useWindow } from "./api/cache"
import { ago } from "./look/format"
import { Going } from "./pages/operations/going"
import { verbText } from "./pages/operations/verbs"

const SHOWN_MAX = 50
const RUNNING = { sort: "-created_at", filter: "status.state=running" }

export function OperationsButton({ open, onClick }: { open: boolean; onClick: () => void }) {
  const { t } = useTranslation()
  const { total } = useWindow("Operation", RUNNING, 0, 0)
  return (
    <NotificationBadge
      variant="read"
      count={total}
      icon={<InProgressIcon />}
      isExpanded={open}
      aria-label={`${t("masthead.operations")}: ${t("operations.running", { count: total })}`}
      onClick={onClick}
    />
  )
}

export function OperationsDrawer({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const running = useWindow("Operation", RUNNING, 0, SHOWN_MAX - 1)
  const shown = Array.from({ length: Math.min(SHOWN_MAX, running.total) }, (_, n) => running.row(n))
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => place.current?.focus(), [])
  return (
    <NotificationDrawer ref={place} tabIndex={-1}>
      <NotificationDrawerHeader
        title={t("masthead.operations")}
        count={running.total}
        customText={t("operations.running", { count: running.total })}
        closeButtonAriaLabel={t("action.close")}
        onClose={onClose}
      >
        <Link href="/operations">{t("operations.all")}</Link>
      </NotificationDrawerHeader>
      <NotificationDrawerBody>
        {shown.length === 0 ? (
          <p className="drawer-empty">{t("operations.none_running")}</p>
        ) : (
          <NotificationDrawerList aria-label={t("masthead.operations")}>
            {shown.map(
              of =>
                of && (
                  <NotificationDrawerListItem
                    key={of.id}
                    variant="info"
                    onClick={() => {
                      onClose()
                      go(`/operations/${of.id}`)
                    }}
                  >
                    <NotificationDrawerListItemHeader
                      variant="info"
                      title={`${verbText(t, of.spec.verb)} ${of.spec.target.name || of.spec.target.id}`}
                    />
                    <NotificationDrawerListItemBody timestamp={`${of.spec.by} · ${ago(of.created_at)}`}>
                      <Going of={of} />
                      <Progress
                        size="sm"
                        value={Math.round((of.status?.progress ?? 0) * 100)}
                        aria-label={t("operations.progress")}
                      />
                    </NotificationDrawerListItemBody>
                  </NotificationDrawerListItem>
                ),
            )}
          </NotificationDrawerList>
        )}
      </NotificationDrawerBody>
    </NotificationDrawer>
  )
}
