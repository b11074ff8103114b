// Rankings by place on the screen. Rank 1 is best, equal ranks tie. (zj/feedback/ranks.py does the same by answer.)

export const letters = "ABCDEFGH";

/** The ranking by the first order, its ties by the second, and so on. */
export function lexicographic(orders) {
  const keys = orders[0].map((_, place) => orders.map((ranks) => ranks[place]));
  return keys.map((key) => 1 + keys.filter((other) => isBefore(other, key)).length);
}

function isBefore(one, other) {
  const level = one.findIndex((rank, i) => rank !== other[i]);
  return level >= 0 && one[level] < other[level];
}

/** [2, 1, 4, 2] → "B > A = D > C" */
export function inWords(ranks) {
  const levels = [...new Set(ranks)].sort((one, other) => one - other);
  const tied = (level) => [...letters].filter((_, place) => ranks[place] === level).join(" = ");
  return levels.map(tied).join(" > ");
}
