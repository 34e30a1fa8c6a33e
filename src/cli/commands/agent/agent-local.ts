import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  agentRun,
  continuationRun,
  type FoundSession,
  findSession,
  firstOf,
} from '../../../blueprints/agent.ts'
import { shippedAgents } from '../../../contract/actions.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { newRunId } from '../../../contract/ids.ts'
import { isFinalRun } from '../../../contract/status.ts'
import type { Engine } from '../../../engine/engine.ts'
import type { RunStore } from '../../../engine/ports.ts'
import { didYouMean } from '../../../engine/workflow-file/hints/did-you-mean.ts'
import { removeAttemptFolders } from '../../../runner/attempts/attempt-folder.ts'
import { GivenSecrets } from '../../../stores/secrets/given-secrets.ts'
import { UsageError } from '../../command.ts'
import { exitCodes } from '../../exit-codes.ts'
import { type AgentShow, followAgent } from '../../follow/agent-follow.ts'
import { engineHere } from '../../local/conduct-local.ts'
import { takeFolderLock } from '../../local/folder-lock.ts'
import { OwnRecord, sweepKilled } from '../../local/local-run-registry.ts'
import { keepSecretsIn, localFolder, localSessions } from '../../local/local-sessions.ts'
import { openStateFolder } from '../../local/state-folder.ts'
import type { AgentAsk } from './agent-on-hub.ts'
import { knownAgents } from './known-agents.ts'

/** Prompts an agent with an engine in this process, and keeps the run for `--continue`. Resolves to the exit code. */
export async function agentHere(ask: AgentAsk): Promise<number> {
  const folder = localFolder()
  const newId = ask.runId ?? newRunId()
  // This comes first: a wrong request should leave nothing behind.
  const requested = ask.earlier === undefined ? ask.request(process.cwd()) : undefined
  if (requested?.agent !== undefined) await checkAgent(requested.agent)
  const request = requested && agentRun(requested)
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
      // A run that was canceled meanwhile must not continue by itself.
      if (taken || exitCode === exitCodes.canceled) return exitCode
      // The prompt came too late for that run. Sent again, it starts a run that continues the session.
      if (!ask.show.json) process.stdout.write('The prompt is sent again, to the same session.\n')
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
  const hint = didYouMean(name, names, `use one of ${names.join(', ')}`)
  throw new UsageError(`--agent is "${name}", but there is no such agent`, hint)
}

async function follow(engine: Engine, { runId, after, joined }: Continued, show: AgentShow) {
  // A run that its store can no longer save ends without an event; only this promise reports it.
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
      continueHint: `${runId}: continue with errand agent --continue ${runId} "..."`,
    },
    show,
  )
  lost.signal.throwIfAborted()
  return followed
}

interface ContinueHere {
  /** Run to continue. */
  earlier: string
  prompt: string
  interactive: boolean
  /** Id of the run that continues it, if it has ended. */
  newId: string
  engine: Engine
  store: RunStore
  folder: string
  /** Functions to call at the end. */
  releases: (() => void)[]
}

interface Continued {
  runId: string
  after: number
  /** Set if the earlier run was still open and got the prompt. */
  joined?: { input_id: string }
}

/**
 * Returns the run that has the prompt, and the event after which the run works on it. Throws `run_not_found`, and
 * `conflict` for a run that another process conducts.
 */
async function continueHere(options: ContinueHere): Promise<Continued> {
  const { earlier, prompt, interactive, newId, engine, store, folder } = options
  const record = await store.get(earlier)
  if (record === undefined)
    throw new ErrandError(
      'run_not_found',
      `Run ${earlier} not found among the runs of agents on this machine.`,
      {
        hint: 'Continue a run of a hub with: errand agent --hub --continue RUN "..."',
      },
    )
  if (!isFinalRun(record.status)) {
    // The command that ran it was killed; its agent may still be working.
    const state = await openStateFolder(folder, earlier)
    options.releases.push(state.release)
    await state.resume(engine)
    const joined = await sendPrompt(engine, earlier, prompt)
    if (joined) return { runId: earlier, after: record.last_seq, joined }
    await engine.done(earlier)
  }
  const found: FoundSession = {}
  for (const event of await store.events(earlier, 0, Number.MAX_SAFE_INTEGER)) findSession(found, event)
  const made = continuationRun((await store.get(earlier))!, found, { prompt, interactive })
  options.releases.push(takeSession(folder, firstOf(record)))
  return { runId: (await engine.submit({ ...made, run_id: newId })).run_id, after: 0 }
}

/** Gives the prompt to a run; returns undefined if the run has ended or is ending. */
async function sendPrompt(
  engine: Engine,
  runId: string,
  text: string,
): Promise<{ input_id: string } | undefined> {
  try {
    return await engine.input(runId, { type: 'prompt', text })
  } catch (error) {
    if (error instanceof ErrandError && (error.code === 'run_ended' || error.code === 'no_input'))
      return undefined
    throw error
  }
}

/** Reserves a session for this process, and returns the function that releases it. Throws `conflict`. */
function takeSession(folder: string, firstRun: string): () => void {
  const place = { path: folder, what: 'state folder', option: 'HOME' }
  const lock = takeFolderLock(place, join('locks', `session.${firstRun}`))
  if ('release' in lock) return lock.release
  throw new ErrandError(
    'conflict',
    `Another command is continuing the session of run ${firstRun}: process ${lock.holder.pid}.`,
    { hint: 'Wait for it, or end it with Ctrl-C where it runs.' },
  )
}

const RETENTION_DAYS = 30

/** Removes the runs kept on this machine that have had no event for 30 days. */
function dropOldRuns(folder: string): void {
  const runs = join(folder, 'runs')
  if (!existsSync(runs)) return
  const oldestMs = Date.now() - RETENTION_DAYS * 24 * 60 * 60 * 1000
  for (const runId of readdirSync(runs)) {
    if (
      (statSync(join(runs, runId, 'events.jsonl'), { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) >=
      oldestMs
    )
      continue
    for (const kind of ['runs', 'output', 'secrets'])
      rmSync(join(folder, kind, runId), { recursive: true, force: true })
    removeAttemptFolders(join(folder, 'attempts', runId))
  }
}
