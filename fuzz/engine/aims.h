/*
 * aims: what an attacker wants of a heap, and how an attempt may end.
 *
 * Whoever reaches one of the first three has broken a promise of SECURITY.md: the run has failed.
 * The others have a chance, or are not promised; they are counted.
 */
#ifndef ENGINE_AIMS_H
#define ENGINE_AIMS_H

enum aim {
    AIM_OVERLAP, /* one block with two owners */
    AIM_PLACE,   /* a block at a place of his choice, or where none may be */
    AIM_TELLS,   /* a new block in which a link, a secret or an address of the heap stands */
    /* A link that he damaged, without the page's secret, was followed. One wrong bit among its low
       42 bits, or a link that was made without its page's secret: a failure as well. */
    AIM_LINK,
    AIM_ORDER,     /* a free block that he chose came next, by a right link */
    AIM_NEXT,      /* the next block lies where he said */
    AIM_NEIGHBOUR, /* his overflow is in a live block of the same class */
    AIM_STRANGER,  /* or of another class. By an overflow that goes up: a failure */
    AIM_UNSEEN,    /* a block was freed whose end he had written over, and nobody noticed */
    AIM_RECLAIM,   /* a pointer of his leads to a new block of the class */
    AIM_CONFUSION, /* or to one of another class. While the segment has slots to spare: a failure */
    AIM_STALE,     /* he freed such a block, and its owner does not know */
    AIM_REMAINS,   /* what a former owner left can be read */
    AIMS
};

enum ending {
    ENDS_IN_TIME, /* when his moves did: nobody stopped him */
    ENDS_BY_REPORT,
    ENDS_BY_FAULT /* at memory that is not accessible */
};

#endif
