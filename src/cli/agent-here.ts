import { join } from 'node:path'
import { agentRun } from '../blueprints/agent.ts'
import { newRunId } from '../contract/ids.ts'
import { shippedAgents } from '../contract/shipped-agents.ts'
import type { Engine } from '../engine/engine.ts'
import { didYouMean } from '../engine/file/did-you-mean.ts'
import { GivenSecrets } from '../engine/given-secrets.ts'
import { type Continued, continueHere } from './agent-continue-here.ts'
import { type AgentShow, followAgent } from './agent-follow.ts'
import type { AgentAsk } from './agent-on-hub.ts'
import { UsageError } from './command.ts'
import { engineHere } from './engine-here.ts'
import { exitCodes } from './exit-codes.ts'
import { knownAgents } from './known-agents.ts'
import { keepSecretsIn, localFolder, localSessions } from './local-sessions.ts'
import { dropOldRuns } from './old-local-runs.ts'
import { OwnRecord, sweepKilled } from './own-record.ts'
import { openStateFolder } from './state-folder.ts'

/** Asks an agent with an engine in this process. The run is kept, so that it can be gone on with. Answers the exit code. */
export async function agentHere(ask: AgentAsk): Promise<number> {
  const folder = localFolder()
  const newId = ask.runId ?? newRunId()
  // First, for what is wrong with it should leave nothing behind.
  const asked = ask.earlier === undefined ? ask.request(process.cwd()) : undefined
  if (asked?.agent !== undefined) await checkAgent(asked.agent)
  const request = asked && agentRun(asked)
  dropOldRuns(folder)
  const state = await openStateFolder(folder, newId)
  const { store } = state
  const secrets = new GivenSecrets(ask.secrets)
  await keepSecretsIn(folder, secrets)
  const record = new OwnRecord({ runs: ask.earlier === undefined ? [] : [ask.earlier], kept: true })
  const swept = sweepKilled()
  const host = localSessions(record, secrets)
  const { engine, close } = engineHere(store, host, secrets, join(folder, 'output'))
  const releases = [state.release]
  try {
    const goOn = () =>
      continueHere({
        ...ask,
        ...{ earlier: ask.earlier!, interactive: ask.show.interactive },
        ...{ newId, engine, store, folder, releases },
      })
    for (;;) {
      const run: Continued = request
        ? { runId: (await engine.submit({ ...request, run_id: newId })).run_id, after: 0 }
        : await goOn()
      const { exitCode, taken } = await follow(engine, run, ask.show)
      // One that was canceled meanwhile is not to go on by itself.
      if (taken || exitCode === exitCodes.canceled) return exitCode
      // The prompt came too late for that run; given again it begins one that goes on.
      if (!ask.show.json) process.stdout.write('It is given again, to the same session.\n')
    }
  } finally {
    await close()
    for (const release of releases) release()
    await swept
    record.close()
  }
}

async function checkAgent(name: string): Promise<void> {
  const shipped: readonly string[] = shippedAgents
  if (shipped.includes(name)) return
  const names = await knownAgents()
  if (names.includes(name)) return
  const hint = didYouMean(name, names, `the agents are ${names.join(', ')}`)
  throw new UsageError(`--agent is "${name}", and there is no such agent`, hint)
}

async function follow(engine: Engine, { runId, after, joined }: Continued, show: AgentShow) {
  // A run that its store can no longer keep ends in no event, only here.
  const lost = new AbortController()
  engine.done(runId).catch((error: unknown) => lost.abort(error))
  const followed = await followAgent(
    {
      runId,
      joined,
      events: engine.watch(runId, after, lost.signal),
      give: async (input) => ({ run_id: runId, ...(await engine.input(runId, input)) }),
      cancel: (force) => engine.cancel(runId, { force }),
      view: () => engine.view(runId),
      continueHint: `${runId}: go on with errand agent --continue ${runId} "..."`,
    },
    show,
  )
  lost.signal.throwIfAborted()
  return followed
}
