/** Diff view: two texts, what goes and what comes; the signs say it to those who don't see the colours. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { aroundChanges, diffLines, isSame } from "./diff"
import "./diff.css"

export function DiffView({ before, after, label }: { before: string; after: string; label: string }) {
  const { t } = useTranslation()
  const lines = useMemo(() => diffLines(before, after), [before, after])
  if (isSame(lines)) return <p>{t("yaml.same")}</p>
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and so has to be reached by keyboard
    <section className="diff" aria-label={label} tabIndex={0}>
      {aroundChanges(lines).map((line, n) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have no other name
        <div key={n} className={line ? (SIGN[line.sign] ?? "") : "diff-gap"}>
          {line ? `${line.sign} ${line.text}` : "⋯"}
        </div>
      ))}
    </section>
  )
}

const SIGN: Record<string, string> = { "-": "diff-goes", "+": "diff-comes" }
