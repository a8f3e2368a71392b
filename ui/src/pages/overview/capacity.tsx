/** Capacity: what there is of each dimension, how much is claimed, how much is really used. */
import type { TFunction } from "i18next"
import { useTranslation } from "react-i18next"
import type { Dimension } from "../../api/fleet"
import { bytes, count, percent } from "../../look/format"
import { Meter } from "../../parts/meter"

export function Capacity({ dimensions }: { dimensions: Dimension[] }) {
  const { t } = useTranslation()
  const known = dimensions.filter(d => d.capacity !== null && d.capacity > 0)
  const unknown = dimensions.filter(d => !known.includes(d))
  return (
    <>
      <div className="overview-meters">
        {known.map(d => (
          <OneDimension key={d.name} of={d} />
        ))}
      </div>
      {unknown.length > 0 && (
        <p className="overview-quiet">
          {t("overview.no_capacity", { names: unknown.map(d => dimensionText(t, d.name)).join(", ") })}
        </p>
      )}
    </>
  )
}

function OneDimension({ of: { name, unit, capacity, claimed, installed, used } }: { of: Dimension }) {
  const { t } = useTranslation()
  const say = (value: number | null) => (unit === "bytes" ? bytes(value) : count(rounded(value)))
  const share = capacity && claimed !== null ? claimed / capacity : null
  const usedShare = installed && used !== null ? used / installed : null
  const words = unit === "bytes" ? "" : ` ${unit}`
  return (
    <div>
      <Meter
        label={dimensionText(t, name)}
        claimed={share}
        used={usedShare}
        text={`${say(claimed)} / ${say(capacity)}${words}`}
      />
      <small className="overview-quiet">
        {t("overview.claimed", { share: percent(share) })}
        {usedShare !== null && ` · ${t("overview.used", { share: percent(usedShare), of: say(installed) })}`}
      </small>
    </div>
  )
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 10) / 10
}

function dimensionText(t: TFunction, name: string): string {
  return t(`overview.dimension.${name}` as "overview.dimension.cpu", { defaultValue: name })
}
