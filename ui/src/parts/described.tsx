/** Described: facts about one thing, as pairs of a word and what it is. */
import {
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
} from "@patternfly/react-core"
import type { ReactNode } from "react"

/** A pair whose value is undefined is left out. */
export type Pair = [term: string, value: ReactNode | undefined]

export function Described({ pairs, label }: { pairs: Pair[]; label?: string }) {
  return (
    <DescriptionList
      isCompact
      isHorizontal
      termWidth="11rem"
      className="described"
      {...(label ? { "aria-label": label } : {})}
    >
      {pairs
        .filter(([, value]) => value !== undefined)
        .map(([term, value]) => (
          <DescriptionListGroup key={term}>
            <DescriptionListTerm>{term}</DescriptionListTerm>
            <DescriptionListDescription>{value}</DescriptionListDescription>
          </DescriptionListGroup>
        ))}
    </DescriptionList>
  )
}

export function Labels({ of }: { of: Record<string, string> | undefined }) {
  const labels = Object.entries(of ?? {})
  if (labels.length === 0) return <>–</>
  return (
    <span className="row">
      {labels.map(([key, value]) => (
        <code key={key} className="label-code">
          {value ? `${key}=${value}` : key}
        </code>
      ))}
    </span>
  )
}
