import { useEffect } from 'react'

/** Returns the title with the number of things that need the person in front. */
export const titleWith = (count: number, title: string): string =>
  `${count > 0 ? `(${count}) ` : ''}${title.replace(/^(\(\d+\) )+/, '')}`

/** Keeps that number in the title, whichever page sets it, and shows an amber dot on the icon. */
export function useAttention(count: number): void {
  useEffect(() => {
    const set = () => {
      const title = titleWith(count, document.title)
      if (title !== document.title) document.title = title
    }
    set()
    const observer = new MutationObserver(set)
    observer.observe(document.head, { childList: true, subtree: true, characterData: true })
    return () => observer.disconnect()
  }, [count])
  const isAsking = count > 0
  useEffect(() => {
    const icon = document.querySelector<HTMLLinkElement>('link[rel="icon"]')
    const name = isAsking ? 'mark-asks-1.svg' : 'mark-1.svg'
    if (icon !== null) icon.href = icon.href.replace(/[^/]*$/, name)
  }, [isAsking])
}
