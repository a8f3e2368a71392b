/** Nodes: the list, each by itself, and how one is drained. */
import { Route, Switch } from "wouter"
import { NodeDetail } from "./detail"
import { DrainPage } from "./drain"
import { NodeList } from "./list"
import "./nodes.css"

export default function Nodes() {
  return (
    <Switch>
      <Route path="/">
        <NodeList />
      </Route>
      <Route path="/:node/drain">{({ node }) => <DrainPage key={node} id={node} />}</Route>
      <Route path="/:node/:part?">
        {({ node, part }) => <NodeDetail key={node} id={node} part={part ?? ""} />}
      </Route>
    </Switch>
  )
}
