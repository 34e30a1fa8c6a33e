import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { eventually } from '../support/errand-command.ts'
import { guardsOf, type Programs, processesOf } from '../support/programs.ts'

/** Reports whether a file is an output that stays open for the next reader: the last 256 outputs do. */
function isOpenForReading(pid: number | 'self', fd: string, target: string): boolean {
  const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'))![1]!
  const isReadOnly = (Number.parseInt(flags, 8) & 3) === 0
  return isReadOnly && target.includes('/data/output/')
}

/** Returns everything that the process has open beside its standard streams. */
function targets(pid: number | 'self'): string[] {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder)
    .filter((fd) => Number(fd) > 2)
    .flatMap((fd) => {
      try {
        const target = readlinkSync(join(folder, fd))
        return isOpenForReading(pid, fd, target) ? [] : [target]
      } catch {
        // It was closed meanwhile.
        return []
      }
    })
}

/** Returns the TCP sockets of this machine, by the text of their link: local and remote port. */
function tcpPorts(): Map<string, { local: string; remote: string }> {
  const lines = readFileSync('/proc/net/tcp', 'latin1').trim().split('\n').slice(1)
  const port = (address: string): string => address.split(':')[1]!
  return new Map(
    lines.map((line) => {
      const fields = line.trim().split(/\s+/)
      return [`socket:[${fields[9]}]`, { local: port(fields[1]!), remote: port(fields[2]!) }]
    }),
  )
}

/**
 * Returns what a process has open: the number of sockets that are not connected to this process, and the names of
 * everything else.
 */
function descriptors(pid: number): { sockets: number; others: string[] } {
  const ports = tcpPorts()
  const own = new Set(targets('self').flatMap((target) => ports.get(target)?.local ?? []))
  const all = targets(pid)
  const isSocket = (target: string): boolean => target.startsWith('socket:')
  return {
    sockets: all.filter((target) => isSocket(target) && !own.has(ports.get(target)?.remote ?? '')).length,
    others: all
      .filter((target) => !isSocket(target))
      .map((target) => target.replace(/\d+/g, ''))
      .sort(),
  }
}

export interface Rest {
  hub: string[]
  runner: string[]
}

const below = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : [])

/** Returns what hub and runner have open once all work has ended and each is connected only to the other. */
export async function atRest({ hub, runner, runnerFolder }: Programs): Promise<Rest> {
  const pids = { hub: hub.child.pid!, runner: runner!.child.pid! }
  const held = () => ['attempts', 'runs'].flatMap((name) => below(join(runnerFolder, name)))
  await eventually('a runner that has released all attempts and workspaces', () => held().length === 0).catch(
    (error) => assert.fail(`${error.message}: ${held()}`),
  )
  let seen = ''
  // The runner has one more, to the guard that waits for its end.
  await eventually('hub and runner with no socket but the link', () => {
    seen = JSON.stringify([descriptors(pids.hub), descriptors(pids.runner)])
    return descriptors(pids.hub).sockets === 2 && descriptors(pids.runner).sockets === 2
  }).catch((error) => assert.fail(`${error.message}: ${seen}`))
  const look = () => ({ hub: descriptors(pids.hub).others, runner: descriptors(pids.runner).others })
  let last: Rest | undefined
  // A file may be open only while this looks.
  return await eventually('the same files open as a moment before', () => {
    const before = last
    last = look()
    return isDeepStrictEqual(before, last) && last
  })
}

/** Asserts that nothing is left of the runs except what the hub stores, and that nothing new is open. */
export async function assertNothingLeft(programs: Programs, before: Rest): Promise<void> {
  const { home, hub, runner, data } = programs
  let open: Rest | undefined
  await eventually('nothing more open than before', async () => {
    open = await atRest(programs)
    return isDeepStrictEqual(open, before)
  }).catch((error) => {
    assert.deepEqual(open, before, 'what is open')
    throw error
  })
  const programsOfIt = [hub.child.pid!, runner!.child.pid!].sort()
  const guards = () => guardsOf(home)
  const others = () => processesOf(home).filter((pid) => !guards().includes(pid))
  await eventually(
    'no process but hub, runner and its guard',
    () => guards().length === 1 && isDeepStrictEqual(others().sort(), programsOfIt),
  ).catch((error) => assert.fail(`${error.message}: ${processesOf(home)}, not ${programsOfIt}`))
  const { runs } = await programs.client.runs.list({ status: 'running', limit: 1 })
  assert.deepEqual(runs, [])
  for (const run of below(join(data, 'output')))
    assert.match(run, /^(storm|warm)-\d+$/, 'an output folder that belongs to no run')
}
