"""The functions that mask one value each, in SQL. They live in the session's temporary schema, so that
nothing of them stays in a clone.

Letters and digits are permuted by a Feistel network whose rounds are SHA-256 with a salt that nobody keeps:
two different values of one shape never become the same, so unique keys hold, and equal ones become equal, so
joins hold. (The construction is that of FF1 in NIST SP 800-38G, with another round function: it hides values
from people, it is no certified encryption.)
"""

from __future__ import annotations

DOMAIN = "masked.invalid"
"""Reaches nobody: RFC 2606 reserves .invalid for that."""
SHORTEST = len(DOMAIN) + 5

FUNCTIONS = (
    # Symbols of an alphabet of `base` as other symbols, in blocks whose halves fit into a bigint: 17 digits
    # or 12 letters. A later block depends on those before it.
    r"""
CREATE FUNCTION pg_temp.waqiti_permuted(salt text, tweak text, symbols int[], base int) RETURNS int[]
LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
DECLARE
    most int := CASE base WHEN 10 THEN 34 ELSE 24 END;
    result int[] := '{}';
    block int[];
    n int; u int;
    a bigint; b bigint; below_a bigint; below_b bigint;
    said text := concat_ws('|', salt, tweak, base);
BEGIN
    FOR start IN 1 .. coalesce(array_length(symbols, 1), 0) BY most LOOP
        block := symbols[start : start + most - 1];
        n := array_length(block, 1); u := n / 2;
        a := 0; b := 0; below_a := 1; below_b := 1;
        FOR i IN 1 .. u LOOP a := a * base + block[i]; below_a := below_a * base; END LOOP;
        FOR i IN u + 1 .. n LOOP b := b * base + block[i]; below_b := below_b * base; END LOOP;
        FOR round IN 1 .. 4 LOOP
            a := (a + ('x' || left(encode(sha256(convert_to(said || round || 'a' || b, 'UTF8')), 'hex'), 15)
                      )::bit(60)::bigint) % below_a;
            b := (b + ('x' || left(encode(sha256(convert_to(said || round || 'b' || a, 'UTF8')), 'hex'), 15)
                      )::bit(60)::bigint) % below_b;
        END LOOP;
        said := said || symbols[start : start + most - 1]::text;
        FOR i IN REVERSE u .. 1 LOOP block[i] := a % base; a := a / base; END LOOP;
        FOR i IN REVERSE n .. u + 1 LOOP block[i] := b % base; b := b / base; END LOOP;
        result := result || block;
    END LOOP;
    RETURN result;
END $function$""",
    # Other letters and digits in the same places; what is no ASCII letter or digit says which permutation it
    # is, and letters of other scripts become ASCII ones. The first `keeps` digits stay.
    r"""
CREATE FUNCTION pg_temp.waqiti_scramble(value text, salt text, keeps int) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
DECLARE
    signs text[] := string_to_array(value, NULL);
    shape text := regexp_replace(regexp_replace(regexp_replace(value COLLATE "C", '[a-z]', 'a', 'g'),
                                                '[A-Z]', 'A', 'g'), '[0-9]', '0', 'g');
    digits int[] := '{}';
    letters int[] := '{}';
    kept int := 0;
    head text := '';
    code int; d int := 0; l int := 0;
BEGIN
    FOR i IN 1 .. coalesce(array_length(signs, 1), 0) LOOP
        code := ascii(signs[i]);
        IF code BETWEEN 48 AND 57 THEN
            IF kept < keeps THEN kept := kept + 1; head := head || signs[i];
            ELSE digits := digits || (code - 48); END IF;
        ELSIF code BETWEEN 97 AND 122 THEN letters := letters || (code - 97);
        ELSIF code BETWEEN 65 AND 90 THEN letters := letters || (code - 65);
        END IF;
    END LOOP;
    IF digits <> '{}' THEN
        digits := pg_temp.waqiti_permuted(salt, 'digits' || head || shape, digits, 10);
    END IF;
    IF letters <> '{}' THEN
        letters := pg_temp.waqiti_permuted(salt, 'letters' || shape, letters, 26);
    END IF;
    kept := 0;
    FOR i IN 1 .. coalesce(array_length(signs, 1), 0) LOOP
        code := ascii(signs[i]);
        IF code BETWEEN 48 AND 57 THEN
            IF kept < keeps THEN kept := kept + 1;
            ELSE d := d + 1; signs[i] := chr(48 + digits[d]); END IF;
        ELSIF code BETWEEN 97 AND 122 THEN l := l + 1; signs[i] := chr(97 + letters[l]);
        ELSIF code BETWEEN 65 AND 90 THEN l := l + 1; signs[i] := chr(65 + letters[l]);
        ELSIF code > 127 THEN
            signs[i] := chr(97 + get_byte(sha256(convert_to(concat_ws('|', salt, value, i), 'UTF8')), 0)
                                 % 26);
        END IF;
    END LOOP;
    RETURN array_to_string(signs, '');
END $function$""",
    # Longest is what the column holds; 0 is any length.
    rf"""
CREATE FUNCTION pg_temp.waqiti_email(value text, salt text, longest int) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
DECLARE
    room int := CASE longest WHEN 0 THEN 20 ELSE least(20, longest - {len(DOMAIN) + 1}) END;
BEGIN
    IF value !~ '^[^@[:space:]]+@[^@[:space:]]+$' THEN
        RETURN pg_temp.waqiti_scramble(value, salt, 0);
    END IF;
    IF room < 4 THEN
        RAISE EXCEPTION 'the column is too short for a masked address';
    END IF;
    RETURN left(encode(sha256(convert_to(salt || '|email|' || value, 'UTF8')), 'hex'), room) || '@{DOMAIN}';
END $function$""",
    r"""
CREATE FUNCTION pg_temp.waqiti_luhn_sum(digits text) RETURNS int
LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
DECLARE
    total int := 0;
    digit int;
BEGIN
    FOR i IN 1 .. length(digits) LOOP
        digit := ascii(substr(digits, length(digits) - i + 1, 1)) - 48;
        IF i % 2 = 0 THEN digit := digit * 2 - CASE WHEN digit > 4 THEN 9 ELSE 0 END; END IF;
        total := total + digit;
    END LOOP;
    RETURN total;
END $function$""",
    r"""
CREATE FUNCTION pg_temp.waqiti_is_card(value text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $function$
DECLARE
    digits text := translate(value, ' -', '');
BEGIN
    RETURN value ~ '^[0-9][0-9 -]*$' AND length(digits) BETWEEN 12 AND 19
       AND digits !~ '^0+$' AND pg_temp.waqiti_luhn_sum(digits) % 10 = 0;
END $function$""",
    # No bank's cards begin with 9; the last digit is the check digit again.
    r"""
CREATE FUNCTION pg_temp.waqiti_card(value text, salt text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
DECLARE
    signs text[] := string_to_array(value, NULL);
    digits text := translate(value, ' -', '');
    body text; made text; d int := 0;
BEGIN
    IF NOT pg_temp.waqiti_is_card(value) THEN
        RETURN pg_temp.waqiti_scramble(value, salt, 0);
    END IF;
    body := '9' || array_to_string(pg_temp.waqiti_permuted(salt, 'card' || left(digits, 1),
                       string_to_array(substr(digits, 2, length(digits) - 2), NULL)::int[], 10), '');
    made := body || (10 - pg_temp.waqiti_luhn_sum(body || '0') % 10) % 10;
    FOR i IN 1 .. array_length(signs, 1) LOOP
        IF signs[i] BETWEEN '0' AND '9' THEN d := d + 1; signs[i] := substr(made, d, 1); END IF;
    END LOOP;
    RETURN array_to_string(signs, '');
END $function$""",
    # The remainder that ISO 13616 asks about, of an account number without spaces.
    r"""
CREATE FUNCTION pg_temp.waqiti_mod97(value text) RETURNS int
LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
DECLARE
    moved text := upper(substr(value, 5) || left(value, 4));
    code int; rest int := 0;
BEGIN
    FOR i IN 1 .. length(moved) LOOP
        code := ascii(substr(moved, i, 1));
        rest := CASE WHEN code >= 65 THEN (rest * 100 + code - 55) % 97 ELSE (rest * 10 + code - 48) % 97 END;
    END LOOP;
    RETURN rest;
END $function$""",
    r"""
CREATE FUNCTION pg_temp.waqiti_is_iban(value text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $function$
DECLARE
    compact text := replace(value, ' ', '') COLLATE "C";
BEGIN
    RETURN compact ~* '^[a-z]{2}[0-9]{2}[a-z0-9]{11,30}$' AND pg_temp.waqiti_mod97(compact) = 1;
END $function$""",
    r"""
CREATE FUNCTION pg_temp.waqiti_iban(value text, salt text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
DECLARE
    signs text[] := string_to_array(value, NULL);
    compact text := replace(value, ' ', '');
    country text := left(compact, 2);
    made text; c int := 0;
BEGIN
    IF NOT pg_temp.waqiti_is_iban(value) THEN
        RETURN pg_temp.waqiti_scramble(value, salt, 0);
    END IF;
    made := pg_temp.waqiti_scramble(substr(compact, 5), salt || country, 0);
    made := country || lpad((98 - pg_temp.waqiti_mod97(country || '00' || made))::text, 2, '0') || made;
    FOR i IN 1 .. array_length(signs, 1) LOOP
        IF signs[i] <> ' ' THEN c := c + 1; signs[i] := substr(made, c, 1); END IF;
    END LOOP;
    RETURN array_to_string(signs, '');
END $function$""",
)
