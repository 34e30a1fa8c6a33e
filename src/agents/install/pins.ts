import type { AgentInstall } from '../agent.ts'

/** The kind of machine a native program is for. */
export interface Machine {
  platform: string
  arch: string
  /** An x64 processor that is too old for AVX2. */
  old?: boolean
}

/** An agent that `errand agents install` can fetch, at the version its driver was tested with. */
export interface Pin extends AgentInstall {
  /** Of `errand agents install --<flag>`. */
  flag: string
  /** Its name on PATH. */
  program: string
  /** Native programs below node_modules, the first that is there is the one. npm brings what fits the machine's libc. */
  natives(machine: Machine): readonly string[]
  /** What an install takes, roughly. */
  megabytes: number
  /** Environment variable of a folder that it unpacks itself into; it is then filled at the install, for all to share. */
  cacheVariable?: string
}

const linux = ({ platform }: Machine): boolean => platform === 'linux'
const withMusl = (machine: Machine, name: string): string[] =>
  linux(machine) ? [name, `${name}-musl`] : [name]

export const pins = {
  claude_code: {
    package: '@anthropic-ai/claude-code',
    version: '2.1.329',
    flag: 'claude-code',
    program: 'claude',
    natives: (machine) =>
      withMusl(machine, `@anthropic-ai/claude-code-${machine.platform}-${machine.arch}`).map(
        (name) => `${name}/claude`,
      ),
    megabytes: 370,
  },
  codex: {
    package: '@openai/codex',
    version: '0.169.0',
    flag: 'codex',
    program: 'codex',
    natives: (machine) => {
      const processor = machine.arch === 'arm64' ? 'aarch64' : 'x86_64'
      const system = linux(machine) ? 'unknown-linux-musl' : 'apple-darwin'
      return [`@openai/codex-${machine.platform}-${machine.arch}/vendor/${processor}-${system}/bin/codex`]
    },
    megabytes: 410,
  },
  opencode: {
    package: 'opencode-ai',
    version: '1.18.33',
    flag: 'opencode',
    program: 'opencode',
    natives: (machine) => {
      const name = `opencode-${machine.platform}-${machine.arch}`
      const names = [name, `${name}-baseline`].flatMap((each) => withMusl(machine, each))
      return (machine.old ? names.filter((each) => each.includes('baseline')) : names).map(
        (each) => `${each}/bin/opencode`,
      )
    },
    megabytes: 360,
  },
  copilot: {
    package: '@github/copilot',
    version: '1.0.102',
    flag: 'copilot',
    program: 'copilot',
    natives: (machine) =>
      [machine.platform, ...(linux(machine) ? ['linuxmusl'] : [])].map(
        (platform) => `@github/copilot-${platform}-${machine.arch}/copilot`,
      ),
    megabytes: 430,
    cacheVariable: 'COPILOT_CACHE_HOME',
  },
} as const satisfies Record<string, Pin>

export type InstallableAgent = keyof typeof pins

export const installableAgents = Object.keys(pins) as InstallableAgent[]

/** What a person is to type. */
export const installCommand = ({ flag }: Pin): string => `errand agents install --${flag}`
