/** Page: the frame of every page: where it is, what it is called, what can be done. */
import { Breadcrumb, BreadcrumbItem, Title } from "@patternfly/react-core"
import { type ReactNode, useEffect } from "react"
import { Link } from "wouter"
import "./page.css"

type Props = {
  title: string
  /** pages above: [text, address] */
  above?: [string, string][]
  /** beside the title */
  aside?: ReactNode
  actions?: ReactNode
  children: ReactNode
}

export function Page({ title, above = [], aside, actions, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Corral`
  }, [title])
  return (
    <div className="page">
      {above.length > 0 && (
        <Breadcrumb>
          {above.map(([text, to]) => (
            <BreadcrumbItem
              key={to}
              render={({ className }) => (
                <Link href={to} className={className}>
                  {text}
                </Link>
              )}
            />
          ))}
          <BreadcrumbItem isActive>
            <bdi>{title}</bdi>
          </BreadcrumbItem>
        </Breadcrumb>
      )}
      <header className="page-head">
        <Title headingLevel="h1" className="page-title">
          <bdi>{title}</bdi>
        </Title>
        {aside}
        <div className="page-actions">{actions}</div>
      </header>
      {children}
    </div>
  )
}
