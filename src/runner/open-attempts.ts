import { setTimeout as sleep } from 'node:timers/promises'
import { DurableAttempts, type DurableAttemptsOptions } from './attempts/attempts.ts'
import type { DriverKind } from './attempts/driver.ts'
import { passedOn } from './attempts/launch.ts'
import { type RunCheckouts, Workspaces } from './attempts/workspaces.ts'
import type { BotServices } from './bots/bot-services.ts'
import { type PlatformDriversOptions, platformDrivers } from './platform-steps/platform-driver.ts'
import type { ActionRegistry, Attempts } from './ports.ts'
import { agentDrivers } from './sessions/agent-driver.ts'
import { AgentServices, type AgentsOptions } from './sessions/agent-services.ts'

export interface AttemptsOptions extends Omit<DurableAttemptsOptions, 'workspaces' | 'drivers' | 'env'> {
  /** Folder that holds the runs' workspaces. */
  workspaceDir: string
  /** `run` (default): commands run in their run's workspace. `cwd`: they run in this process's folder. */
  workspace?: 'run' | 'cwd'
  /** Environment; default: this process's. */
  env?: NodeJS.ProcessEnv
  /** Agents of this machine; absent if it runs none. */
  agents?: AgentsOptions
  /** Steps of coding tasks that this machine runs, by action; absent if it runs none. */
  platformStep?: PlatformDriversOptions['step']
  /** Checkouts of repositories that runs may use here; absent if there are none. */
  checkouts?: RunCheckouts
  /** Services that the bots of this machine share; absent if it runs no bots. */
  bots?: BotServices
}

/** Opens the attempts of this machine, with a driver for each kind that it can run. */
export function openAttempts(options: AttemptsOptions): Attempts {
  const {
    workspaceDir,
    workspace,
    env = process.env,
    agents,
    bots,
    platformStep,
    checkouts,
    artifacts,
    stop,
  } = options
  const services = agents && new AgentServices(agents, env)
  const root = workspace === 'cwd' ? undefined : workspaceDir
  const workspaces = new Workspaces(root, services?.homes, checkouts)
  const drivers = {
    agent: services && agentDrivers({ services, env, workspaces, artifacts, stop }),
    bot: bots && loadedBotDrivers(bots),
    platform:
      platformStep &&
      platformDrivers({ workspaces, env: passedOn(env), step: platformStep, artifacts, stop }),
  }
  return new DurableAttempts({ ...options, env, workspaces, drivers })
}

/** Returns the driver for bots, which is loaded with the first bot. */
function loadedBotDrivers(bots: BotServices): DriverKind {
  let loaded: DriverKind | undefined
  return {
    kind: 'bot',
    limitsItself: true,
    async load() {
      loaded ??= (await import('./bots/bot-driver.ts')).botDrivers(bots)
    },
    repair: (folder) => loaded!.repair!(folder),
    driver: (attempt, files, action) => loaded!.driver(attempt, files, action),
  }
}

/**
 * Time limit in ms; short compared to the time a service manager or container engine gives a program to stop (10 s or
 * more).
 */
const WITHIN_MS = 5_000
const POLL_MS = 20

/** Waits up to `WITHIN_MS` for attempts that would end with this process, until the hub has all of their reports. */
export async function inlineDone(attempts: Pick<Attempts, 'all'>, registry: ActionRegistry): Promise<void> {
  const left = () => attempts.all().some(({ spec }) => registry[spec.action]?.kind === 'inline')
  for (let waitedMs = 0; left() && waitedMs < WITHIN_MS; waitedMs += POLL_MS) await sleep(POLL_MS)
}
