/** First run: no node yet, and how the first one joins. */
import { useTranslation } from "react-i18next"
import { Page } from "../../parts/page"
import { JoinSteps } from "../nodes/join"
import "../nodes/nodes.css"

export function FirstRun() {
  const { t } = useTranslation()
  return (
    <Page title={t("overview.first.title")}>
      <p className="join-lead">{t("overview.first.lead")}</p>
      <JoinSteps />
    </Page>
  )
}
