/** The console: text and theme first, then the page. */
import "@patternfly/patternfly/patternfly-base.css"
import { QueryClientProvider } from "@tanstack/react-query"
import { StrictMode } from "react"
import { createRoot } from "react-dom/client"
import { keepFresh, queries } from "./api/cache"
import { App } from "./app"
import { startTheme } from "./look/theme"
import { startText } from "./text"

startTheme()
await startText()
keepFresh()

const root = document.getElementById("root")
if (!root) throw new Error("index.html has no #root")
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
)
