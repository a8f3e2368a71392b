/** Sign-in: a token for a session. Shown alone, or over a page whose session has ended. */
import {
  Alert,
  Button,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  TextInput,
  Title,
} from "@patternfly/react-core"
import { type FormEvent, useEffect, useState } from "react"
import { useTranslation } from "react-i18next"
import { signIn, tokenFromAddress } from "./session"
import "./signin.css"

export function SignIn({ again = false }: { again?: boolean }) {
  const { t } = useTranslation()
  const [token, setToken] = useState("")
  const [trouble, setTrouble] = useState("")
  const [busy, setBusy] = useState(false)

  const submit = async (presented: string) => {
    if (!presented.trim()) return setTrouble(t("signin.no_token"))
    setBusy(true)
    setTrouble("")
    try {
      await signIn(presented)
    } catch (error) {
      setTrouble((error as Error).message)
    } finally {
      setBusy(false)
    }
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: once, with what the address brought
  useEffect(() => {
    const brought = tokenFromAddress()
    if (brought) void submit(brought)
  }, [])

  return (
    <main className="signin">
      <div className="signin-card">
        <img src="/corral.svg" alt="" width={48} height={48} />
        <Title headingLevel="h1">{t("signin.title")}</Title>
        {again && <Alert isInline variant="info" title={t("signin.again")} />}
        <Form
          onSubmit={(event: FormEvent) => {
            event.preventDefault()
            void submit(token)
          }}
        >
          <FormGroup label={t("signin.token")} isRequired fieldId="token">
            <TextInput
              id="token"
              name="token"
              type="password"
              autoComplete="current-password"
              autoFocus
              value={token}
              validated={trouble ? "error" : "default"}
              aria-describedby="token-help"
              onChange={(_, value) => setToken(value)}
            />
            <FormHelperText>
              <HelperText id="token-help" aria-live="polite">
                {trouble ? (
                  <HelperTextItem variant="error">{trouble}</HelperTextItem>
                ) : (
                  <HelperTextItem>{t("signin.token_help")}</HelperTextItem>
                )}
              </HelperText>
            </FormHelperText>
          </FormGroup>
          <Button type="submit" isBlock isLoading={busy} isDisabled={busy}>
            {t("signin.submit")}
          </Button>
        </Form>
        <p className="signin-note">{t("signin.note")}</p>
      </div>
    </main>
  )
}
