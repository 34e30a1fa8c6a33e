import { type ComponentType, lazy, type ReactNode, useState } from 'react'

/** A part of the page whose code comes apart from the page's own. */
export interface Later<P> {
  (props: P): ReactNode
  /** Fetches its code before it is shown. */
  fetch: () => void
}

/**
 * A part that is fetched when it is first shown, below a `Suspense`, or before. One that is there already is shown at
 * once: React holds back for 300 ms what stood behind a fallback.
 */
export function later<P extends object>(load: () => Promise<{ default: ComponentType<P> }>): Later<P> {
  let begun: ReturnType<typeof load> | undefined
  let known: ComponentType<P> | undefined
  const fetch = () => {
    begun ??= load().then(
      (loaded) => {
        known = loaded.default
        return loaded
      },
      (error) => {
        // A hub that was away is asked again by whoever shows it next.
        begun = undefined
        throw error
      },
    )
    return begun
  }
  const Waiting = lazy(fetch)
  function Part(props: P) {
    const [Shown] = useState<ComponentType<P>>(() => known ?? Waiting)
    return <Shown {...props} />
  }
  return Object.assign(Part, { fetch: () => void fetch().catch(() => undefined) })
}
