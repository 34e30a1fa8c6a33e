import type { BotState } from '../../contract/bot.ts'
import type { Reason, RunStatus } from '../../contract/status.ts'

/** The facts that the state of a bot is read off. */
export interface Standing {
  status: RunStatus
  reason?: Reason
  /** The last phase that its attempt reported. */
  phase?: string
}

/** While its run is open: a bot that begins again after a failure is at its start. */
const byPhase: Readonly<Record<string, BotState>> = {
  building: 'building',
  pulling: 'pulling',
  running: 'running',
  restarting: 'start',
}

/** Once it has ended. One that ended by itself, with exit code 0, has stopped. */
const byEnd: Readonly<Record<Exclude<RunStatus, 'queued' | 'running'>, BotState>> = {
  success: 'stopped',
  canceled: 'stopped',
  failed: 'crashed',
  interrupted: 'crashed',
}

/** The state that users see. */
export function botState({ status, reason, phase }: Standing): BotState {
  if (status === 'queued') return 'start'
  if (status === 'running') return (phase === undefined ? undefined : byPhase[phase]) ?? 'start'
  return reason === 'timeout' ? 'timeout' : byEnd[status]
}

const ends = ['stopped', 'crashed', 'timeout'] as const

/** The states that may follow each, as users see them; ARCHITECTURE.md draws them. */
export const botMoves: Readonly<Record<BotState, readonly BotState[]>> = {
  start: ['building', 'pulling', 'running', ...ends],
  building: ['running', ...ends],
  pulling: ['running', ...ends],
  running: ['start', ...ends],
  stopped: [],
  crashed: [],
  timeout: [],
}

/** Whether it has not ended: something still follows. */
export const isLive = (state: BotState): boolean => botMoves[state].length > 0
