/** Tabs: parts of a page, each with an address of its own. */
import { Tab, Tabs, TabTitleText } from "@patternfly/react-core"
import type { ReactNode } from "react"
import { useLocation } from "wouter"
import { Fence } from "./trouble"

export type PagePart = { key: string; title: string; body: () => ReactNode; count?: number }

/** `base`: address of the page within its router; the first part has no word of its own. */
export function PageTabs({
  base,
  parts,
  active,
  label,
}: {
  base: string
  parts: PagePart[]
  active: string
  label: string
}) {
  const [, go] = useLocation()
  const shown = parts.find(part => part.key === active) ?? parts[0]
  return (
    <>
      <Tabs
        aria-label={label}
        activeKey={shown?.key ?? ""}
        onSelect={(_, key) => go(key === parts[0]?.key ? base : `${base}/${key}`)}
      >
        {parts.map(part => (
          <Tab
            key={part.key}
            eventKey={part.key}
            tabContentId={`part-${part.key}`}
            title={<TabTitleText>{part.count ? `${part.title} (${part.count})` : part.title}</TabTitleText>}
          />
        ))}
      </Tabs>
      <div
        className="page-part"
        key={shown?.key}
        id={`part-${shown?.key}`}
        role="tabpanel"
        aria-label={shown?.title}
      >
        <Fence of={shown?.key ?? ""}>{shown?.body()}</Fence>
      </div>
    </>
  )
}
