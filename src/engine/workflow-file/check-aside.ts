import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { ErrandError } from '../../contract/errors.ts'
import { FairSemaphore } from '../../platform/fair-semaphore.ts'
import { within } from '../../platform/races.ts'
import type { Checked } from './check.ts'

const MEMORY_MB = 1024
const LONGEST_MS = 120_000

/** A file that uses built-in actions, without sub-workflows in other files. */
export interface CheckRequest {
  text: string
  agents?: readonly string[]
}

/**
 * Checks files in a thread, one after another. Throws `body_too_large` for a file that takes too much memory or time.
 */
export type CheckAside = (request: CheckRequest, userId: string) => Promise<Checked>

/** `userId` identifies the caller: different callers take turns. */
export function checksAside(): CheckAside {
  const semaphore = new FairSemaphore(1)
  return async (request, userId) => {
    using _turn = await semaphore.acquire(userId)
    return await inThread(request)
  }
}

function inThread(workerData: CheckRequest): Promise<Checked> {
  const { promise, resolve, reject } = Promise.withResolvers<Checked>()
  const worker = new Worker(program(), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
    // The thread must not read the hub's environment.
    env: {},
    stdout: true,
    stderr: true,
  })
  worker.once('message', resolve)
  worker.once('error', (error: NodeJS.ErrnoException) =>
    reject(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? tooLarge(`takes more than ${MEMORY_MB} MB`) : error),
  )
  worker.once('exit', () => reject(new Error('The thread that checks workflows ended without an answer.')))
  return within(LONGEST_MS, promise, () => {
    throw tooLarge(`takes more than ${LONGEST_MS / 1000} s`)
  }).finally(() => worker.terminate())
}

const tooLarge = (why: string): ErrandError =>
  new ErrandError('body_too_large', `The workflow cannot be checked: checking it ${why}.`, {
    hint: 'Split it, or replace similar steps by one step with matrix or foreach.',
  })

/** Returns the program's path: beside this file, or in the folder of bundles. */
function program(): string {
  const files = ['check-program.ts', 'check-program.cjs', '../check-program.cjs'].map((name) =>
    join(import.meta.dirname, name),
  )
  return files.find((file) => existsSync(file))!
}
