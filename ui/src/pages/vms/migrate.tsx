/** Migrate: where a VM could go, what prevents it, and how long it would take, before anything begins. */
import { Label, Radio, Spinner } from "@patternfly/react-core"
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { useAsk } from "../../api/asks"
import { getJson, type Schemas } from "../../api/client"
import type { VM } from "../../api/kinds"
import { span } from "../../look/format"
import { Equivalent, quote } from "../../parts/code"
import { Confirm } from "../../parts/confirm"
import { Trouble } from "../../parts/trouble"

export function Migrate({ vm, onClose }: { vm: VM; onClose: () => void }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const [target, setTarget] = useState("")
  const path = `/api/v1/vms/${vm.id}/migrate`
  const body = target ? { target } : {}
  const preflight = useQuery({
    queryKey: ["preflight", vm.id, vm.revision],
    queryFn: ({ signal }) => getJson<Schemas["Preflight"]>(`/api/v1/vms/${vm.id}/preflight`, signal),
    placeholderData: before => before,
  })
  const nodes = preflight.data?.nodes ?? []
  const fitting = nodes.filter(n => n.fits)
  const out = nodes.filter(n => !n.fits)
  return (
    <Confirm
      title={t("vms.migrate.title", { name: vm.name })}
      verb={t("vms.do.migrate")}
      danger={false}
      onConfirm={() => ask({ verb: t("vms.do.migrate"), name: vm.name, method: "POST", path, body })}
      onClose={onClose}
    >
      <Trouble of={preflight.error} />
      {preflight.isPending && (
        <p>
          <Spinner size="md" aria-label={t("state.loading")} /> {t("vms.migrate.checking")}
        </p>
      )}
      {preflight.data?.obstacles?.map(o => (
        <Trouble key={o.code} of={o} />
      ))}
      <fieldset className="bulk-rows">
        <legend className="pf-v6-screen-reader">{t("vms.migrate.target")}</legend>
        <div className="bulk-row">
          <Radio
            id="to-any"
            name="target"
            label={t("vms.migrate.anywhere")}
            isChecked={target === ""}
            onChange={() => setTarget("")}
          />
        </div>
        {fitting.map(({ node, forecast }) => (
          <div className="bulk-row" key={node.id}>
            <Radio
              id={`to-${node.id}`}
              name="target"
              label={node.name}
              isChecked={target === node.name}
              onChange={() => setTarget(node.name)}
            />
            <span>
              {forecast
                ? t("vms.migrate.forecast", {
                    time: span(forecast.total_s),
                    downtime: span((forecast.downtime_ms ?? 0) / 1000),
                  })
                : t("vms.migrate.unknown")}
            </span>
          </div>
        ))}
        {out.map(({ node, obstacles }) => (
          <div className="bulk-row" key={node.id}>
            <span>
              <bdi>{node.name}</bdi>{" "}
              <Label isCompact variant="outline" status="warning">
                {t("vms.migrate.blocked")}
              </Label>
            </span>
            <span>{obstacles?.map(o => o.message).join("; ")}</span>
          </div>
        ))}
      </fieldset>
      <Equivalent
        command={`corral vm migrate ${quote(vm.name)}${target ? ` --to ${quote(target)}` : ""}`}
        call={{ method: "POST", path, body }}
      />
    </Confirm>
  )
}
