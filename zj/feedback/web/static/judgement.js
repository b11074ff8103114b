// A judgement by place, as the server's JSON has it: ranks (null: not given yet), faults, rewrites, notes.

import { lexicographic } from "./ranks.js";

/** `saved` completed to all dimensions and answers; an imported judgement has one order for all dimensions. */
export function completed(saved, page) {
  const places = page.answers.map(() => null);
  const ranks = page.dimensions.map(({ key }) => [key, [...(saved?.ranks?.[key] ?? saved?.ranks?.overall ?? places)]]);
  return {
    ranks: Object.fromEntries(ranks),
    faults: page.answers.map((_, place) => [...(saved?.faults?.[place] ?? [])]),
    rewrites: { ...saved?.rewrites },
    notes: saved?.notes ?? "",
  };
}

/** A text that is equal for judgements that say the same, whatever order their keys and faults have. */
export function canonical(judgement) {
  const rewrites = Object.entries(judgement.rewrites).map(([place, text]) => [place, text.trim()]);
  return JSON.stringify([
    Object.entries(judgement.ranks).sort(),
    judgement.faults.map((keys) => [...keys].sort()),
    rewrites.filter(([, text]) => text).sort(),
    judgement.notes,
  ]);
}

/** The final order as far as it stands: by the upper dimensions that are ranked in full. null: not even the first. */
export function finalOrder(judgement, page) {
  const orders = page.dimensions.map(({ key }) => judgement.ranks[key]);
  const gap = orders.findIndex((ranks) => ranks.includes(null));
  const given = gap < 0 ? orders : orders.slice(0, gap);
  return given.length ? lexicographic(given) : null;
}

export function missing(judgement) {
  return Object.values(judgement.ranks).flat().filter((rank) => rank === null).length;
}
