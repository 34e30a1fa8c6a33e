import { join } from 'node:path'
import { continuationRun, findSession, firstOf, type SessionFound } from '../blueprints/continuation.ts'
import { ErrandError } from '../contract/errors.ts'
import { isFinalRun } from '../contract/status.ts'
import type { Engine } from '../engine/engine.ts'
import type { RunStore } from '../engine/ports.ts'
import { takeFolderLock } from './folder-lock.ts'
import { openStateFolder } from './state-folder.ts'

export interface ContinueHere {
  /** Run to go on with. */
  earlier: string
  prompt: string
  interactive: boolean
  /** Id of the run that does, where the earlier one has ended. */
  newId: string
  engine: Engine
  store: RunStore
  folder: string
  /** What is to be called at the end. */
  releases: (() => void)[]
}

export interface Continued {
  runId: string
  after: number
  /** The run was there before, and was given the prompt. */
  joined?: { input_id: string }
}

/**
 * The run that has the prompt, and the event after which it is about that. Throws `run_not_found`, and `conflict` for
 * a run that another process is at.
 */
export async function continueHere(options: ContinueHere): Promise<Continued> {
  const { earlier, prompt, interactive, newId, engine, store, folder } = options
  const record = await store.get(earlier)
  if (record === undefined)
    throw new ErrandError('run_not_found', `There is no run ${earlier} of an agent on this machine.`, {
      hint: 'A run of a hub is gone on with by: errand agent --hub --continue RUN "...".',
    })
  if (!isFinalRun(record.status)) {
    // The command that ran it was killed; its agent may still be at it.
    const state = await openStateFolder(folder, earlier)
    options.releases.push(state.release)
    await state.resume(engine)
    const joined = await given(engine, earlier, prompt)
    if (joined) return { runId: earlier, after: record.last_seq, joined }
    await engine.done(earlier)
  }
  const found: SessionFound = {}
  for (const event of await store.events(earlier, 0, Number.MAX_SAFE_INTEGER)) findSession(found, event)
  const made = continuationRun((await store.get(earlier))!, found, { prompt, interactive })
  options.releases.push(takeSession(folder, firstOf(record)))
  return { runId: (await engine.submit({ ...made, run_id: newId })).run_id, after: 0 }
}

/** Undefined: it has ended, or ends. */
async function given(engine: Engine, runId: string, text: string): Promise<{ input_id: string } | undefined> {
  try {
    return await engine.input(runId, { type: 'prompt', text })
  } catch (error) {
    if (error instanceof ErrandError && (error.code === 'run_ended' || error.code === 'no_input'))
      return undefined
    throw error
  }
}

/** For this process alone; the answer lets go of it. Throws `conflict`. */
function takeSession(folder: string, firstRun: string): () => void {
  const place = { path: folder, what: 'state folder', option: 'HOME' }
  const lock = takeFolderLock(place, join('locks', `session.${firstRun}`))
  if ('release' in lock) return lock.release
  throw new ErrandError(
    'conflict',
    `Another command goes on with the session of run ${firstRun}: process ${lock.holder.pid}.`,
    { hint: 'Wait for it, or end it with Ctrl-C where it runs.' },
  )
}
