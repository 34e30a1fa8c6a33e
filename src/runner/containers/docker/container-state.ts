import type { ContainerHealth, ContainerState } from '../ports.ts'
import type { StateAnswer } from './docker-answers.ts'

/** `state` of what an engine tells of a container. */
export function containerState(state: StateAnswer): ContainerState {
  if (state.Running)
    return { type: 'running', pid: state.Pid, startedAt: state.StartedAt, ...healthOf(state.Health) }
  if (state.Status === 'created' && state.Error === '') return { type: 'created' }
  return {
    type: 'exited',
    exitCode: state.ExitCode,
    // The engine also says so where only a child of it was killed and it went on to a good end.
    oom: state.OOMKilled && state.ExitCode !== 0,
    startedAt: state.StartedAt,
    finishedAt: state.FinishedAt,
    ...(state.Error === '' ? {} : { error: state.Error }),
  }
}

/** Nothing where it has no check. */
function healthOf(health: StateAnswer['Health']): { health?: ContainerHealth } {
  const state = health?.Status
  if (state !== 'starting' && state !== 'healthy' && state !== 'unhealthy') return {}
  const last = health?.Log?.at(-1)
  return { health: { state, output: last?.Output, checkedAt: last?.End } }
}
