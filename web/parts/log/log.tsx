import { type ComponentProps, lazy, Suspense } from 'react'
import type { LogView } from './log-view.tsx'

const Loaded = lazy(async () => ({ default: (await import('./log-view.tsx')).LogView }))

/** One attempt's log; its code comes with the first log that is looked at. */
export function Log(props: ComponentProps<typeof LogView>) {
  return (
    <Suspense fallback={<div aria-busy="true" className="min-h-0 flex-1 bg-sunken" />}>
      <Loaded {...props} />
    </Suspense>
  )
}
