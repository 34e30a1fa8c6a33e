import { ErrandError } from '../contract/errors.ts'
import type { RunEvent } from '../contract/events.ts'
import { attemptOf } from './find-in-state.ts'
import {
  assignAttempt,
  cancelAttempt,
  createAttempt,
  finishAttempt,
  setPhase,
  startAttempt,
  waitAttempt,
} from './fold-attempt.ts'
import { createRun, finishRun, requestCancel, startRun } from './fold-run.ts'
import { endStep, startStep } from './fold-step.ts'
import { answerApproval, finishChild, requestApproval, startChild } from './fold-waiting.ts'
import { foldLate, foldTalk } from './inputs.ts'
import type { RunState } from './state.ts'

/** Folds one event into the state, in place. Throws for an event that cannot come here. */
export function evolve(state: RunState, event: RunEvent): void {
  if (event.seq !== state.seq + 1)
    throw new ErrandError('internal', `Event ${event.seq} follows event ${state.seq}: the log has a hole.`)
  fold(state, event)
  state.seq = event.seq
}

function fold(state: RunState, event: RunEvent): void {
  switch (event.type) {
    case 'run.created':
      return void createRun(state, event)
    case 'run.waiting':
      state.waiting = event.why
      return
    case 'run.started':
      return void startRun(state, event)
    case 'run.cancel_requested':
      return void requestCancel(state, event)
    case 'run.timed_out':
      state.timed_out = true
      return
    case 'run.finished':
      return void finishRun(state, event)
    case 'step.started':
      return void startStep(state, event)
    case 'step.skipped':
      return void endStep(state, event, 'skipped')
    case 'step.finished':
      return void endStep(state, event, event.status)
    case 'attempt.created':
      return void createAttempt(state, event)
    case 'attempt.waiting':
      return void waitAttempt(state, event)
    case 'attempt.assigned':
      return void assignAttempt(state, event)
    case 'attempt.started':
      return void startAttempt(state, event)
    case 'attempt.phase':
      return void setPhase(state, event)
    case 'agent.update':
    case 'input.given':
    case 'input.taken':
      return void foldTalk(attemptOf(state, event.attempt), event)
    case 'input.passed_on':
    case 'input.dropped':
      return void foldLate(attemptOf(state, event.attempt), event)
    case 'attempt.secrets':
      attemptOf(state, event.attempt).secrets = event.secrets
      return
    case 'attempt.cancel_requested':
      return void cancelAttempt(state, event)
    case 'output':
      attemptOf(state, event.attempt).streams[event.stream] = event.offset + event.length
      return
    case 'attempt.finished':
      return void finishAttempt(state, event)
    case 'approval.requested':
      return void requestApproval(state, event)
    case 'approval.answered':
      return void answerApproval(state, event)
    case 'child.started':
      return void startChild(state, event)
    case 'child.finished':
      return void finishChild(state, event)
  }
}
