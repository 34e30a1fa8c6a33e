import { queryOptions } from '@tanstack/react-query'
import type { Approvers } from '../../src/contract/approvers.ts'
import { type ApiError, ask } from './api.ts'
import { hubNow, timeOf } from './clock.ts'
import type { Run } from './runs.ts'
import type { Me } from './session.ts'

/** Lists the runs of other people that ask this person a question. */
export const othersQuestions = queryOptions({
  queryKey: ['asked-by-others'],
  queryFn: ({ signal }) => ask<{ runs: Run[] }>('GET', '/api/approvals', { signal }),
  staleTime: Number.POSITIVE_INFINITY,
})

/** Reports whether the person may answer. This is only a forecast: the hub decides. */
export function mayAnswer(
  approvers: Approvers | undefined,
  me: Pick<Me, 'name' | 'role'>,
  owner: string,
): boolean {
  const { users, roles, requester = true } = approvers ?? {}
  if (!requester && me.name === owner) return false
  if (users === undefined && roles === undefined) return me.role === 'admin' || me.name === owner
  return users?.includes(me.name) === true || roles?.includes(me.role) === true
}

/** Lists who may answer: `bob`, `any admin`. Returns undefined if the approvers name nobody. */
export function whoMay(approvers: Approvers | undefined): string[] | undefined {
  if (approvers === undefined) return undefined
  const named = [...(approvers.users ?? []), ...(approvers.roles ?? []).map((role) => `any ${role}`)]
  return named.length > 0 ? named : approvers.requester === false ? ['any admin'] : undefined
}

/** Reads from a refusal who answered first: `bob already rejected it`. Returns undefined if it does not say. */
export function fasterThan(error: ApiError): { by: string; did: string; at: string | undefined } | undefined {
  const details = (error.details ?? {}) as { answered_by?: string; answer?: string; answered_at?: string }
  if (error.status !== 409 || details.answer === undefined) return undefined
  const by = details.answered_by === 'timeout' ? 'the time limit' : (details.answered_by ?? 'someone')
  return {
    by,
    did: /^(approve|allow)/.test(details.answer) ? 'approved' : 'rejected',
    at: details.answered_at,
  }
}

/** Says who answered an agent's question first, read from the refusal. Returns undefined if it does not say. */
export function permissionLost(decision: 'allow' | 'deny', error: ApiError): string | undefined {
  const { decision: was, by, at } = (error.details ?? {}) as { decision?: string; by?: string; at?: string }
  if (error.status !== 409 || was === undefined) return undefined
  const not = decision === 'allow' ? 'Not allowed' : 'Not denied'
  const when = at === undefined ? '' : `, ${timeOf(at, hubNow())}`
  return `${not}: ${by ?? 'someone'} already ${was === 'allow' ? 'allowed' : 'denied'} it${when}.`
}

/** Returns the message about an answer whose question has left the screen, or about the refusal of that answer. */
export const answerText =
  (answer: 'approve' | 'reject', name: string) =>
  (error?: ApiError): string => {
    const did = answer === 'approve' ? 'approved' : 'rejected'
    if (error === undefined)
      return answer === 'approve' ? `Approved. ${name} continues.` : `Rejected. ${name} doesn't continue.`
    const faster = fasterThan(error)
    if (faster === undefined) return `Not ${did}: ${error.message}`
    const at = faster.at === undefined ? '' : `, ${timeOf(faster.at, hubNow())}`
    return `Not ${did}: ${faster.by} already ${faster.did} it${at}.`
  }

/** Returns the same message as `answerText`, for an agent's question. */
export const permissionText =
  (decision: 'allow' | 'deny', name: string) =>
  (error?: ApiError): string => {
    const did = decision === 'allow' ? 'allowed' : 'denied'
    if (error === undefined) return `${decision === 'allow' ? 'Allowed' : 'Denied'}. ${name} continues.`
    return permissionLost(decision, error) ?? `Not ${did}: ${error.message}`
  }
