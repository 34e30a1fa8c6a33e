/** Errand's mark: an e in one stroke that ends at a stop. */
export function Mark({ size = 22 }: { size?: number }) {
  return (
    <svg aria-hidden="true" width={size} height={size} viewBox="0 0 24 24" fill="none" className="shrink-0">
      <path
        d="M4.6 12.6H18.6C18.6 8.2 15.8 5 12 5C8 5 4.9 8.2 4.9 12.2C4.9 16.3 8 19.3 11.9 19.3C13.3 19.3 14.5 19 15.6 18.3"
        stroke="var(--ink)"
        strokeWidth="2.5"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
      <circle cx="19" cy="17.6" r="2.3" fill="var(--accent)" />
    </svg>
  )
}

export function Wordmark({ large = false }: { large?: boolean }) {
  return (
    <span className="flex items-center gap-2 font-semibold tracking-[-0.02em]">
      <Mark size={large ? 32 : 22} />
      <span className={large ? 'text-[1.375rem]' : 'text-page'}>errand</span>
    </span>
  )
}
