import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { type ChildWith, spawnGroup } from '../../platform/process-ending.ts'
import type { Ending } from '../attempts/outcome.ts'
import { checkLaunch, type Launch } from '../attempts/start-failure.ts'
import { ENTER, UNHELD, unheldText } from '../limits/enter-script.ts'

export type LocalChild = ChildWith<'stdout' | 'stderr'>

/** Starts a command in a group of its own, within these cgroups. Throws or emits `error` as `spawn` does. */
export function spawnLocal(
  launch: Launch,
  enter: readonly string[],
  onEnd: (ending: Ending) => void,
): LocalChild {
  const { argv, cwd, env } = launch
  const options = { cwd, env }
  if (enter.length === 0) {
    const child = spawnGroup<'stdout' | 'stderr'>(argv, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    child.once('exit', (code, signal) => onEnd(endingOf(code, signal)))
    return child
  }
  const script = `errand_unheld=/dev/fd/3\n${ENTER}\nerrand_enter "$@"`
  const args = ['-c', script, 'errand', String(enter.length), ...enter, checkLaunch(launch), ...argv.slice(1)]
  const child = spawnGroup<'stdout' | 'stderr'>(['/bin/sh', ...args], {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  const unheld = text(child.stdio[3] as Readable)
  unheld.catch(() => undefined)
  child.once('exit', async (code, signal) => {
    const cgroup = code === UNHELD ? (await unheld.catch(() => '')).trim() : ''
    onEnd(cgroup === '' ? endingOf(code, signal) : { type: 'start_failed', message: unheldText(cgroup) })
  })
  return child
}

function endingOf(code: number | null, signal: NodeJS.Signals | null): Ending {
  return signal === null ? { type: 'exited', code: code ?? 0 } : { type: 'signaled', signal }
}
