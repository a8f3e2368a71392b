/** Placement of a VM: why here, term by term; why not there, node by node; what it waits for. */
import { Alert, Card, CardBody, CardTitle } from "@patternfly/react-core"
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table"
import { useQuery } from "@tanstack/react-query"
import { useTranslation } from "react-i18next"
import { getJson, type Schemas } from "../../api/client"
import type { VM } from "../../api/kinds"
import { ago } from "../../look/format"
import { Trouble } from "../../parts/trouble"

export function Placement({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const found = useQuery({
    queryKey: ["explain", vm.id, vm.revision],
    queryFn: ({ signal }) => getJson<Schemas["Explanation"]>(`/api/v1/vms/${vm.id}/explain`, signal),
    placeholderData: before => before,
  })
  if (found.error) return <Trouble of={found.error} onRetry={() => void found.refetch()} />
  if (!found.data) return null
  const { why_here, placed_at, waits_for, elsewhere, node } = found.data
  return (
    <>
      {waits_for && waits_for.length > 0 && (
        <Alert isInline variant="info" title={t("vms.placement.waits")}>
          <ul>
            {waits_for.map(each => (
              <li key={String(each)}>{String(each)}</li>
            ))}
          </ul>
        </Alert>
      )}
      <Card>
        <CardTitle>
          {t("vms.placement.here")}
          {node ? `: ${node}` : ""}
        </CardTitle>
        <CardBody>
          <p className="why">{why_here || t("vms.placement.no_reason")}</p>
          {placed_at ? <p className="quiet">{t("vms.placement.placed", { ago: ago(placed_at) })}</p> : null}
        </CardBody>
      </Card>
      {elsewhere && <Elsewhere elsewhere={elsewhere} />}
    </>
  )
}

function Elsewhere({ elsewhere }: { elsewhere: Schemas["Elsewhere"] }) {
  const { t } = useTranslation()
  const out = Object.entries(elsewhere.out ?? {}).sort((a, b) => b[1] - a[1])
  const candidates = elsewhere.candidates ?? []
  return (
    <Card>
      <CardTitle>
        {t("vms.placement.there")}
        {elsewhere.policy && ` (${t("vms.placement.policy", { policy: elsewhere.policy })})`}
      </CardTitle>
      <CardBody className="page-part">
        {elsewhere.never && <p>{t("vms.placement.never", { reason: elsewhere.never })}</p>}
        {candidates.length === 0 ? <p>{t("vms.placement.none")}</p> : <Candidates of={candidates} />}
        {elsewhere.nearest && (
          <p>{t("vms.placement.nearest", { node: elsewhere.nearest, lacks: elsewhere.lacks })}</p>
        )}
        {out.length > 0 && (
          <>
            <h3>{t("vms.placement.out")}</h3>
            <ul className="reasons">
              {out.map(([reason, nodes]) => (
                <li key={reason}>
                  {reason}: {t("vms.placement.nodes", { count: nodes })}
                </li>
              ))}
            </ul>
          </>
        )}
        {elsewhere.changes && elsewhere.changes.length > 0 && (
          <>
            <h3>{t("vms.placement.changes")}</h3>
            <ul className="reasons">
              {elsewhere.changes.map(change => (
                <li key={String(change)}>{String(change)}</li>
              ))}
            </ul>
          </>
        )}
      </CardBody>
    </Card>
  )
}

/** Candidates by score, each term as a bar beside the others of its kind. */
function Candidates({ of }: { of: Schemas["Candidate"][] }) {
  const { t } = useTranslation()
  const terms = Object.keys(of[0]?.terms ?? {}).filter(term => of.some(c => c.terms[term] !== 0))
  const most = Object.fromEntries(
    terms.map(term => [term, Math.max(...of.map(c => Math.abs(c.terms[term] ?? 0)))]),
  )
  return (
    <Table variant="compact" aria-label={t("vms.placement.there")}>
      <Thead>
        <Tr>
          <Th>{t("col.node")}</Th>
          <Th>{t("vms.placement.score")}</Th>
          {terms.map(term => (
            <Th key={term}>{term}</Th>
          ))}
        </Tr>
      </Thead>
      <Tbody>
        {of.map(candidate => (
          <Tr key={candidate.node}>
            <Td dataLabel={t("col.node")}>{candidate.node}</Td>
            <Td dataLabel={t("vms.placement.score")}>{candidate.score}</Td>
            {terms.map(term => {
              const value = candidate.terms[term] ?? 0
              return (
                <Td key={term} dataLabel={term}>
                  <span>{value}</span>
                  <div
                    className="term-bar"
                    aria-hidden
                    style={{ inlineSize: `${(Math.abs(value) / (most[term] || 1)) * 100}%` }}
                  />
                </Td>
              )
            })}
          </Tr>
        ))}
      </Tbody>
    </Table>
  )
}
