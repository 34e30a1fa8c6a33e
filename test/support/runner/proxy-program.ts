import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { connect, Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runProxy } from '../../../src/runner/proxy/server.ts'
import type { World } from './proxy-fixture.ts'

/** Runs the proxy of a runner with the names and addresses of `world.json`, which it reads again each time. */

const [, program = '', folder = ''] = process.argv

const world = (): World => JSON.parse(readFileSync(join(folder, 'world.json'), 'utf8')) as World
/** Counts the look-ups of each name. */
const requests = new Map<string, number>()

void runProxy({
  folder,
  aloneMs: world().aloneMs,
  connectMs: world().connectMs,
  mostConnections: world().mostConnections,
  version: existsSync(join(folder, 'version'))
    ? readFileSync(join(folder, 'version'), 'utf8')
    : createHash('sha256').update(readFileSync(program)).digest('hex').slice(0, 16),
  lookup: async (host) => {
    let answers = world().names[host] ?? []
    for (; answers === 'silent'; answers = world().names[host] ?? []) await sleep(5)
    const times = requests.get(host) ?? 0
    requests.set(host, times + 1)
    return answers[Math.min(times, answers.length - 1)] ?? []
  },
  dial: (addresses, port) => {
    const there = world().servers[`${addresses[0]}:${port}`]
    if (there === 'silent') return new Socket()
    return connect({ host: '127.0.0.1', port: there ?? 1, allowHalfOpen: true })
  },
})
