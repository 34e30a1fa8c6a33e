import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { socketPath } from '../../platform/socket-path.ts'
import { ACCESS_FILE, GateAccess, RUNNER_SOCKET } from './gate-access.ts'

export interface JoinOptions {
  signal: AbortSignal
  /** Called when the gate is gone, and all models with it. */
  onGone(): void
  /** Limit in ms for the gate to appear. Default 60,000. */
  waitMs?: number
}

/** Connection of a runner to its model gate. */
export interface JoinedGate {
  /** Variables of the runner. */
  env: Readonly<Record<string, string>>
  /** Leaves, so that the gate ends. Idempotent. */
  close(): void
}

const LOOK_MS = 100

/**
 * Joins the model gate of that folder, once there is one; returns undefined if it was aborted. Throws `unavailable` if
 * there is none in time.
 */
export async function joinGate(
  folder: string,
  { signal, onGone, waitMs = 60_000 }: JoinOptions,
): Promise<JoinedGate | undefined> {
  const until = performance.now() + waitMs
  for (;;) {
    try {
      const socket = await reached(folder)
      const { env } = GateAccess.parse(JSON.parse(readFileSync(join(folder, ACCESS_FILE), 'utf8')))
      socket.once('close', onGone)
      // It does not keep the process alive.
      socket.unref()
      const close = () => {
        socket.off('close', onGone)
        socket.destroy()
      }
      return { env, close }
    } catch (cause) {
      if (signal.aborted) return undefined
      if (performance.now() > until)
        throw new ErrandError(
          'unavailable',
          `There is no model gate in ${folder}: ${(cause as Error).message}.`,
          {
            hint: 'Start errand runner model-gate beside this runner, with the same ERRAND_MODEL_GATE. If it does not start, its log says why.',
            cause,
          },
        )
      await sleep(LOOK_MS, undefined, { signal }).catch(() => {})
    }
  }
}

async function reached(folder: string): Promise<Socket> {
  const path = socketPath(join(folder, RUNNER_SOCKET))
  try {
    const socket = connect(path.path)
    await once(socket, 'connect')
    socket.on('error', () => {}).resume()
    return socket
  } finally {
    path.close()
  }
}
