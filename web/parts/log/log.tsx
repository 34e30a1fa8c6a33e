import { type ComponentProps, Suspense } from 'react'
import { later } from '../later.tsx'
import type { LogView } from './log-view.tsx'

const Loaded = later(async () => ({ default: (await import('./log-view.tsx')).LogView }))
/** Fetches the code of logs before one is opened. */
export const fetchLog = Loaded.fetch

/** Shows one attempt's log; its code is loaded with the first log that is opened, or before. */
export function Log(props: ComponentProps<typeof LogView>) {
  return (
    <Suspense fallback={<div aria-busy="true" className="min-h-0 flex-1 bg-sunken" />}>
      <Loaded {...props} />
    </Suspense>
  )
}
