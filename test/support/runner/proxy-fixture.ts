import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Doors, type DoorsOptions } from '../../../src/runner/proxy/doors.ts'
import type { DoorRules, Told } from '../../../src/runner/proxy/rules.ts'

/** What names and addresses lead to. */
export interface World {
  /** The addresses of a name at its first look-up, its second, and so on; the last ones stay. */
  names: Record<string, string[][]>
  /** By `address:port`: the port, on this machine, of the server that stands for it. */
  servers: Record<string, number>
}

/** A public address, which stands for servers of tests. */
export const PUBLIC = '93.184.215.14'

const program = join(import.meta.dirname, 'proxy-program.ts')

export interface ProxyFixture {
  /** State of the proxy. */
  folder: string
  doors: Doors
  /** Doors as another process of the runner has them. */
  more(options?: Partial<DoorsOptions>): Doors
  world(world: World): void
  open(id: string, network: DoorRules['network']): Promise<string>
  told(id: string): Told[]
  pid(): number
}

/** A proxy with its process, ended after the test. `below` makes its folder's path longer. */
export function proxyFixture(
  t: TestContext,
  { below = '', ...options }: Partial<DoorsOptions> & { below?: string } = {},
): ProxyFixture {
  const top = mkdtempSync(join(tmpdir(), 'errand-proxy-'))
  const folder = join(top, below, 'proxy')
  mkdirSync(folder, { recursive: true })
  const all: Doors[] = []
  const more = (others: Partial<DoorsOptions> = {}) => {
    const doors = new Doors({ folder, program, ...options, ...others })
    all.push(doors)
    return doors
  }
  const doors = more()
  const pid = () => (JSON.parse(readFileSync(join(folder, 'lock'), 'utf8')) as { pid: number }).pid
  t.after(() => {
    for (const each of all) each.stop()
    try {
      process.kill(pid(), 'SIGKILL')
    } catch {
      // It has ended.
    }
    rmSync(top, { recursive: true, force: true })
  })
  const world = (next: World) => writeFileSync(join(folder, 'world.json'), JSON.stringify(next))
  world({ names: {}, servers: {} })
  return {
    ...{ folder, doors, more, world, pid },
    open: async (id, network) =>
      join((await doors.open(id, { network, models: [], budget: {} })).folder, 'proxy'),
    told: (id) => doors.told(id, 0).lines,
  }
}
