import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useId, useRef, useState } from 'react'
import type { ApiError } from '../data/api.ts'
import { answerText, fasterThan, mayAnswer, whoMay } from '../data/approvals.ts'
import { clockOf, timeOf, useNow } from '../data/clock.ts'
import { answerApproval, getRun, type RunDetail, type Step } from '../data/runs.ts'
import { meQuery } from '../data/session.ts'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import CopyAsCli from '../parts/copy-as-cli.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { useLeft } from '../parts/time-left.ts'
import { VisibleText } from '../parts/visible-text.tsx'

/** Shows a step's question in full, who may answer and until when, and the two answers with a comment. */
export function Approval({ run, step, linked }: { run: RunDetail; step: Step; linked: boolean }) {
  const { data: me } = useQuery(meQuery)
  const client = useQueryClient()
  const card = useRef<HTMLElement>(null)
  const id = useId()
  const [comment, setComment] = useState('')
  const [failure, setFailure] = useState<ApiError>()
  const approval = step.approval!
  const may = me !== undefined && mayAnswer(approval.approvers, me, run.owner)
  const named = whoMay(approval.approvers)
  const left = useLeft(approval.expires_at)
  const taken = approval.on_timeout === 'approve' ? 'approved' : 'rejected'
  useEffect(() => {
    if (linked) card.current?.focus()
  }, [linked])
  const answer = (which: 'approve' | 'reject') => async (key: string) => {
    setFailure(undefined)
    try {
      await answerApproval(run.run_id, which, step.step, comment.trim(), key)
    } finally {
      const refreshed = { queryKey: ['run', run.run_id], queryFn: () => getRun(run.run_id), staleTime: 0 }
      // If this fails too, the failure of the answer itself is the one to show.
      client.fetchQuery(refreshed).catch(() => undefined)
    }
  }
  return (
    <section
      ref={card}
      id={`question:${step.step}`}
      tabIndex={-1}
      aria-labelledby={id}
      className="flex max-h-[70%] shrink-0 flex-col gap-3 overflow-y-auto border-b border-ask-line bg-ask-soft px-4 py-3 -outline-offset-2"
    >
      <section
        aria-label="Approval request"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
        tabIndex={0}
        className="flex min-h-16 flex-col gap-3 overflow-y-auto"
      >
        <div className="flex items-start gap-3">
          <StatusMark shown="asks" size={18} beside />
          <div className="min-w-0 flex-1">
            <h3 id={id} className="font-semibold">
              {left === 0 ? 'Time is up' : may ? 'Waiting for your answer' : 'Waiting for an answer'}
            </h3>
            <p className="break-words whitespace-pre-wrap">
              <bdi>
                <VisibleText text={approval.message} />
              </bdi>
            </p>
          </div>
          {left !== undefined && left > 0 && (
            <span className="font-medium text-ask tabular-nums">{clockOf(left)}</span>
          )}
        </div>
        <p className="text-meta text-ink2">
          {named !== undefined && (
            <>
              Approvers:{' '}
              {named.map((name, index) => (
                <span key={name}>
                  {index > 0 && ', '}
                  <bdi className="font-medium text-ink">{name}</bdi>
                </span>
              ))}
              .{' '}
            </>
          )}
          {approval.approvers?.requester === false && (
            <>
              <bdi className="font-medium text-ink">{run.owner}</bdi> can't answer: it is their own run.{' '}
            </>
          )}
          {approval.expires_at !== undefined && (
            <Late at={approval.expires_at} as={taken} isOver={left === 0} />
          )}
        </p>
      </section>
      {failure !== undefined && <Refused error={failure} />}
      {left === 0 ? null : may ? (
        <div className="flex flex-wrap items-end gap-2">
          <label className="flex min-w-48 flex-1 flex-col gap-1 text-meta text-ink2 max-sm:basis-full">
            Comment, saved with the answer
            <input
              className="field h-7 max-sm:h-11 max-sm:text-base"
              value={comment}
              maxLength={2000}
              onChange={({ target }) => setComment(target.value)}
            />
          </label>
          <span className="flex gap-2 max-sm:basis-full max-sm:*:flex-1">
            <ActionButton
              className="max-sm:h-11"
              doing="Rejecting…"
              act={answer('reject')}
              afterwards={answerText('reject', run.workflow_name)}
              onFailure={setFailure}
            >
              Reject
            </ActionButton>
            <ActionButton
              className="max-sm:h-11"
              doing="Approving…"
              kind="main"
              act={answer('approve')}
              afterwards={answerText('approve', run.workflow_name)}
              onFailure={setFailure}
            >
              Approve
            </ActionButton>
          </span>
          <CopyAsCli
            actions={[
              ['Approve', { do: 'approve', run: run.run_id, step: step.step, comment: comment.trim() }],
              ['Reject', { do: 'reject', run: run.run_id, step: step.step, comment: comment.trim() }],
            ]}
          />
        </div>
      ) : (
        me !== undefined && (
          <p className="text-meta font-medium text-ask">
            {approval.approvers?.requester === false && me.name === run.owner
              ? "You can't answer because this is your own run. Send an approver the link to this page."
              : "You can't answer because the workflow names other approvers. Send one of them the link to this page."}
          </p>
        )
      )}
    </section>
  )
}

/** Shows the last answer to a step's question. */
export function Answered({ answered }: { answered: NonNullable<Step['answered']> }) {
  const now = useNow()
  const { decision, by, at, comment } = answered
  const done = decision === 'approve' ? 'Approved' : 'Rejected'
  return (
    <p className="shrink-0 border-b border-line px-4 py-2 text-meta break-words text-ink2">
      {done}{' '}
      {by === 'timeout' ? (
        'automatically: nobody answered in time'
      ) : (
        <>
          by <bdi className="font-medium text-ink">{by ?? 'someone'}</bdi>
        </>
      )}
      , {timeOf(at, now)}
      {comment !== undefined && comment !== '' && (
        <>
          :{' '}
          <bdi className="text-ink">
            <VisibleText text={comment} />
          </bdi>
        </>
      )}
    </p>
  )
}

/** Shows why an answer was refused, and who answered first if that is the reason. */
export function Refused({ error }: { error: ApiError }) {
  const now = useNow()
  const faster = fasterThan(error)
  if (faster === undefined) return <Failure error={error} />
  return (
    <p role="alert" className="text-meta font-medium">
      <bdi>{faster.by}</bdi> already {faster.did} it
      {faster.at !== undefined && `, ${timeOf(faster.at, now)}`}.
    </p>
  )
}

function Late({ at, as, isOver }: { at: string; as: string; isOver: boolean }) {
  const now = useNow()
  return isOver ? (
    <>
      Too late to answer: it was {as} at {timeOf(at, now)}.
    </>
  ) : (
    <>
      If nobody answers, it will be {as} at {timeOf(at, now)}.
    </>
  )
}
