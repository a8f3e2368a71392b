/**
 * Text: what people read, in two languages with the same keys.
 *
 * In this room   language of the browser or of choice; t() is typed by the English texts
 * Next door      en/ and zh/ have one file a page
 */
import i18next, { type TFunction } from "i18next"
import { initReactI18next } from "react-i18next"
import { en } from "./en"
import { zh } from "./zh"

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "translation"
    resources: { translation: typeof en }
  }
}

export const LANGUAGES = { en: "English", zh: "简体中文" } as const
export type Language = keyof typeof LANGUAGES
const KEPT = "corral.language"

export function language(): Language {
  const kept = localStorage.getItem(KEPT)
  if (kept === "en" || kept === "zh") return kept
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en"
}

export function speak(to: Language): void {
  localStorage.setItem(KEPT, to)
  document.documentElement.lang = to === "zh" ? "zh-CN" : "en"
  void i18next.changeLanguage(to)
}

export async function startText(): Promise<void> {
  await i18next.use(initReactI18next).init({
    lng: language(),
    fallbackLng: "en",
    resources: { en: { translation: en }, zh: { translation: zh } },
    interpolation: { escapeValue: false }, // React escapes
  })
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en"
}

/** A phase in words; one that the page does not know yet as the server calls it. */
export function phaseText(t: TFunction, phase: string): string {
  return t(`phase.${phase}` as "phase.running", { defaultValue: phase })
}
