import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import type { TestContext } from 'node:test'

const run = (...[program, ...args]: [string, ...string[]]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

/** Returns why a cable is not possible here, or false. */
export function noCable(): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return 'network namespaces take Linux and root'
  const name = `errand-${randomInt(1e9)}`
  try {
    run('ip', 'netns', 'add', name)
    try {
      run('ip', 'netns', 'exec', name, 'iptables', '-w', '10', '-L')
    } finally {
      run('ip', 'netns', 'del', name)
    }
    return false
  } catch (error) {
    return `no network namespaces here (Debian's packages iproute2, iptables): ${(error as Error).message.split('\n')[0]}`
  }
}

/** Joins this network namespace with one of its own. When it is cut, packets vanish and no connection is closed. */
export class Cable {
  /** The address of this side. */
  readonly address: string
  /** Words before a command that runs at the far end. */
  readonly within: readonly string[]

  private constructor(name: string, address: string) {
    this.address = address
    this.within = ['ip', 'netns', 'exec', name]
  }

  /** Creates a cable, which is removed with the test. Create it before anything that is started at its far end. */
  static open(t: TestContext): Cable {
    const number = randomInt(1 << 14)
    const [name, near, far] = [`errand-${number}`, `errand${number}n`, `errand${number}f`]
    // The range is reserved for tests of networks.
    const base = `198.18.${number >> 6}.`
    const host = (number & 63) * 4
    run('ip', 'netns', 'add', name)
    // Removing the namespace removes its end, and with it the other one.
    t.after(() => run('ip', 'netns', 'del', name))
    run('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', name)
    run('ip', 'address', 'add', `${base}${host + 1}/30`, 'dev', near)
    run('ip', 'link', 'set', near, 'up')
    const cable = new Cable(name, `${base}${host + 1}`)
    cable.#atFarEnd('ip', 'address', 'add', `${base}${host + 2}/30`, 'dev', far)
    cable.#atFarEnd('ip', 'link', 'set', far, 'up')
    return cable
  }

  cut(): void {
    for (const chain of ['INPUT', 'OUTPUT']) this.#atFarEnd('iptables', '-w', '10', '-A', chain, '-j', 'DROP')
  }

  heal(): void {
    this.#atFarEnd('iptables', '-w', '10', '-F')
  }

  #atFarEnd(...command: string[]): void {
    run('ip', 'netns', 'exec', this.within[3]!, ...command)
  }
}
