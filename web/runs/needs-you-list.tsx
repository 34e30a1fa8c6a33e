import { Link } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { saidOfAnswer } from '../data/approvals.ts'
import { clockOf, useNow } from '../data/clock.ts'
import { answerApproval, type Run } from '../data/runs.ts'
import { ActionButton } from '../parts/action-button.tsx'
import { StatusMark } from '../parts/status-mark.tsx'

function Left({ until, as }: { until: string; as: string }) {
  const now = useNow()
  return (
    <span className="text-meta text-ink2">
      {as} in <span className="font-medium text-ink">{clockOf(Date.parse(until) - now)}</span>
    </span>
  )
}

/** Runs that wait for an answer, answered in place; an item stays a moment after its answer, with what became of it. */
export function NeedsYou({ runs }: { runs: readonly Run[] }) {
  const [answered, setAnswered] = useState<ReadonlyMap<string, { run: Run; said: string }>>(new Map())
  useEffect(() => {
    if (answered.size === 0) return
    const timer = setTimeout(() => setAnswered(new Map()), 1500)
    return () => clearTimeout(timer)
  }, [answered])
  const all = [
    ...runs.filter(({ run_id }) => !answered.has(run_id)),
    ...[...answered.values()].map(({ run }) => run),
  ]
  if (all.length === 0) return null
  return (
    <section aria-label="Needs you" className="px-5 pt-4">
      <h2 className="mb-2 flex items-center gap-2 font-semibold">
        Needs you <span className="chip bg-ask-soft font-medium text-ask">{runs.length}</span>
      </h2>
      <ul className="overflow-clip rounded-[10px] border border-line max-sm:flex max-sm:flex-col max-sm:gap-3 max-sm:overflow-visible max-sm:border-0">
        {all.map((run) => {
          const question = run.now?.question
          const said = answered.get(run.run_id)?.said
          const answer = (which: 'approve' | 'reject') => async (key: string) => {
            await answerApproval(run.run_id, which, question!.step, undefined, key)
            setAnswered(
              new Map([
                ...answered,
                [run.run_id, { run, said: which === 'approve' ? 'Approved' : 'Rejected' }],
              ]),
            )
          }
          return (
            <li
              key={run.run_id}
              className="flex min-h-[46px] items-center gap-3 border-t border-line px-3 py-1.5 shadow-[inset_3px_0_0_var(--ask-fill)] first:border-t-0 max-sm:flex-wrap max-sm:rounded-xl max-sm:border max-sm:border-ask-line max-sm:p-4 max-sm:first:border-t"
            >
              <StatusMark shown="asks" />
              <Link
                to="/runs/$run"
                params={{ run: run.run_id }}
                className="w-48 shrink-0 truncate py-0.5 font-semibold max-sm:-my-3 max-sm:w-auto max-sm:flex-1 max-sm:py-3"
              >
                <bdi>{run.workflow_name}</bdi>
              </Link>
              <span className="min-w-0 flex-1 truncate text-ink2 max-sm:order-3 max-sm:basis-full max-sm:whitespace-normal">
                step <span className="font-medium text-ink">{question?.step}</span> asks: “
                <bdi>{question?.text}</bdi>”
              </span>
              <span className="text-meta text-ink2 max-sm:hidden">{run.owner}</span>
              {question?.expires_at !== undefined && (
                <Left
                  until={question.expires_at}
                  as={question.on_timeout === 'approve' ? 'approved' : 'rejected'}
                />
              )}
              {said !== undefined ? (
                <span role="status" className="font-medium text-ok">
                  {said}
                </span>
              ) : question?.kind === 'approval' && !question.text.endsWith('…') ? (
                <span className="flex gap-2 max-sm:order-4 max-sm:basis-full max-sm:*:flex-1">
                  <ActionButton
                    doing="Rejecting…"
                    act={answer('reject')}
                    afterwards={saidOfAnswer('reject', run.workflow_name)}
                  >
                    Reject
                  </ActionButton>
                  <ActionButton
                    doing="Approving…"
                    kind="main"
                    act={answer('approve')}
                    afterwards={saidOfAnswer('approve', run.workflow_name)}
                  >
                    Approve
                  </ActionButton>
                </span>
              ) : (
                <Link
                  to="/runs/$run"
                  params={{ run: run.run_id }}
                  search={question?.kind === 'approval' ? { step: question.step } : {}}
                  hash={question?.kind === 'approval' ? `question:${question.step}` : ''}
                  className="button max-sm:order-4 max-sm:h-11 max-sm:basis-full"
                >
                  {question?.kind === 'approval' ? 'Read it whole…' : 'Open'}
                </Link>
              )}
            </li>
          )
        })}
      </ul>
    </section>
  )
}
