import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { ApiError } from '../data/api.ts'
import { type RunDetail, resumeRun } from '../data/runs.ts'
import { meQuery } from '../data/session.ts'
import { ActionButton, Failure } from './action-button.tsx'
import { When } from './times.tsx'

/** Says since when and why a run is set aside; an admin can resume it. */
export function SetAsideNotice({ run }: { run: RunDetail }) {
  const { data: me } = useQuery(meQuery)
  const [failure, setFailure] = useState<ApiError>()
  if (run.set_aside === undefined) return null
  return (
    <div className="flex shrink-0 flex-wrap items-center gap-x-3 gap-y-2 border-b border-line bg-bad-soft px-edge py-2 text-meta">
      <span role="alert" className="min-w-0 flex-1 [overflow-wrap:anywhere]">
        <b className="font-semibold text-bad">Set aside</b> <When time={run.set_aside.since} />: this run does
        not continue. <bdi>{run.set_aside.why}</bdi>
        <span className="block text-ink2">
          This is a bug in Errand, or its data is damaged. After a fix, such as an update, an admin can resume
          the run. Canceling ends it without its last steps.
        </span>
      </span>
      {me?.role === 'admin' && (
        <ActionButton
          doing="Resuming…"
          act={() => {
            setFailure(undefined)
            return resumeRun(run.run_id)
          }}
          onFailure={setFailure}
        >
          Resume
        </ActionButton>
      )}
      {failure !== undefined && (
        <div className="basis-full">
          <Failure error={failure} />
        </div>
      )}
    </div>
  )
}
