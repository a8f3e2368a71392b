/** Noun pages: the list of a kind, and each of it under its own address with its parts. */
import type { ComponentType } from "react"
import { Route, Switch } from "wouter"

export function NounPages({ List, One }: { List: ComponentType; One: ComponentType }) {
  return (
    <Switch>
      <Route path="/:id/:part?">
        <One />
      </Route>
      <Route>
        <List />
      </Route>
    </Switch>
  )
}
